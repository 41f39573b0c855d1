#!/usr/bin/env bash
# A real SLURM on this one machine, for the tests: munged, slurmctld and slurmd, without systemd.
#
#   single_node_slurm.sh up       install by apt if it is missing, start, wait until a job has run
#   single_node_slurm.sh status   0 if it can be used, 3 if not
#   single_node_slurm.sh env      print the line by which a shell finds it
#   single_node_slurm.sh down     end its jobs, its daemons, and what jobs left behind
#
# 8 CPUs and 4 GPUs that are none, whatever the machine has: a job with --gres=gpu:1 is given its own
# CUDA_VISIBLE_DEVICES. Partitions: gpu (default); short, at most 2 minutes; scavenge, whose jobs give
# way to those of the others, and are requeued. Needs root. All files are in LFADSQ_TEST_SLURM_DIR.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin

dir=${LFADSQ_TEST_SLURM_DIR:-/tmp/lfadsq-test-slurm}
port=${LFADSQ_TEST_SLURM_PORT:-26817} # of slurmctld; slurmd takes the next
patience_s=40
conf=$dir/etc/slurm.conf
socket=$dir/munge.socket
node=$(hostname -s)
freezer=/sys/fs/cgroup/freezer

say() { printf 'test SLURM: %s\n' "$*"; }
die() {
    say "$1" >&2
    shift
    for log; do [ ! -r "$log" ] || tail -n 20 "$log" >&2; done
    exit 1
}
need_root() { [ "$(id -u)" = 0 ] || die 'needs root'; }
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}
# A pid file outlives its process, whose number may be another's by now.
pid_of() {
    local pid
    pid=$(cat "$dir/run/$1.pid" 2>/dev/null) && [ -r "/proc/$pid/cmdline" ] || return 1
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$dir/" && echo "$pid"
}
has_ended() { ! pid_of "$1"; }
munge_answers() { munge -S "$socket" -n | unmunge -S "$socket"; }
slurmctld_answers() { timeout 5 scontrol ping | grep -q 'is UP'; }
node_is_ready() { timeout 5 sinfo -h -N -p gpu -o %T | grep -qE '^(idle|mixed|allocated|completing)$'; }
no_job_is_left() { [ -z "$(timeout 5 squeue -h -o %i)" ]; }
is_up() { pid_of munged && pid_of slurmctld && pid_of slurmd && slurmctld_answers && node_is_ready; }

install_missing() {
    local program missing='' policy=/usr/sbin/policy-rc.d
    for program in munged slurmctld slurmd sbatch; do
        command -v $program >/dev/null || missing+=" $program"
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || die "missing:$missing; without apt-get, install them by hand"
    say "installing slurm-wlm and munge"
    # The packages would start their own daemons, unless a policy forbids it.
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
        # shellcheck disable=SC2064 # as it is now
        trap "rm -f $policy" EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    { timeout 300 apt-get -o DPkg::Lock::Timeout=120 update -qq &&
        timeout 600 apt-get -o DPkg::Lock::Timeout=120 install -y -qq --no-install-recommends \
            slurm-wlm munge; } >"$dir/log/apt.log" 2>&1 9>&- || {
        tail -n 20 "$dir/log/apt.log" >&2
        echo 'single_node_slurm.sh: apt-get cannot install it here' >&2
        exit 77
    }
}

write_files() {
    local number track=linuxproc
    rm -rf "${dir:?}"/{dev,state,spool}
    mkdir -p "$dir"/{dev,etc,state,spool}
    chmod 700 "$dir/state"
    # Only a GPU with a device file of its own comes with CUDA_VISIBLE_DEVICES.
    for number in 0 1 2 3; do ln -s /dev/null "$dir/dev/nvidia$number"; done
    echo "NodeName=$node Name=gpu File=$dir/dev/nvidia[0-3]" >"$dir/etc/gres.conf"
    rm -f "$dir/etc/cgroup.conf"
    # With cgroups no process of a job is lost sight of, as on real clusters.
    if [ -w $freezer/cgroup.procs ]; then
        track=cgroup
        printf '%s\n' CgroupPlugin=cgroup/v1 CgroupMountpoint=/sys/fs/cgroup CgroupAutomount=no \
            >"$dir/etc/cgroup.conf"
    fi
    [ -s "$dir/munge.key" ] || (umask 077 && head -c 1024 /dev/urandom >"$dir/munge.key")
    # cred_expire: a requeued job waits for so long. config_overrides: the node may claim more than
    # the machine has. FirstJobId: two of these on one machine share the cgroups, by the job's number.
    cat >"$conf" <<CONF
ClusterName=lfadsqtest
FirstJobId=$((1000 + RANDOM * 30))
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$socket,cred_expire=10
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
ProctrackType=proctrack/$track
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=5,sched_interval=5
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
MinJobAge=600
DefMemPerCPU=128
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
GresTypes=gpu
NodeName=$node NodeAddr=127.0.0.1 CPUs=8 Boards=1 SocketsPerBoard=1 CoresPerSocket=8 ThreadsPerCore=1 RealMemory=$(awk '/^MemTotal:/ {print int($2 / 1024)}' /proc/meminfo) Gres=gpu:4 State=UNKNOWN
PartitionName=gpu Nodes=$node Default=YES MaxTime=INFINITE DefaultTime=60 PriorityTier=10 PreemptMode=OFF
PartitionName=short Nodes=$node MaxTime=2 DefaultTime=1 PriorityTier=10 PreemptMode=OFF
PartitionName=scavenge Nodes=$node MaxTime=60 DefaultTime=10 PriorityTier=1 PreemptMode=REQUEUE GraceTime=0
CONF
}

# With an environment of their own, which jobs inherit, and without the lock.
start() {
    (cd / && exec env -i PATH="$PATH" HOME=/root LANG=C.UTF-8 SLURM_CONF="$conf" setsid "$@") \
        </dev/null >>"$dir/log/start.log" 2>&1 9>&- || die "$1 does not start" "$dir/log/start.log"
}

up() {
    mkdir -p "$dir"/{log,run}
    install_missing
    if is_up >/dev/null 2>&1; then
        say 'is up already'
        return
    fi
    stop
    write_files
    start munged --key-file="$dir/munge.key" --socket="$socket" --pid-file="$dir/run/munged.pid" \
        --seed-file="$dir/munge.seed" --log-file="$dir/log/munged.log"
    wait_until $patience_s munge_answers || die 'munged does not answer' "$dir/log/munged.log"
    start slurmctld -c -f "$conf"
    wait_until $patience_s slurmctld_answers || die 'slurmctld does not answer' "$dir/log/slurmctld.log"
    start slurmd -f "$conf"
    wait_until $patience_s node_is_ready || die "node $node is not ready" "$dir"/log/slurm*.log
    # In its first seconds slurmctld starts no job.
    timeout $patience_s sbatch -Q --wait -J first -t 1 --mem=1 -o /dev/null -D / --wrap=true 9>&- ||
        die 'a first job does not run' "$dir"/log/slurm*.log
    say "is up, on port $port"
}

stop() {
    local name pid file
    if pid_of slurmctld >/dev/null && slurmctld_answers; then
        squeue -h -o %A | sort -u | xargs -r scancel || true
        wait_until 15 no_job_is_left || say 'some jobs do not end'
    fi
    for name in slurmd slurmctld munged; do
        if pid=$(pid_of $name); then
            kill "$pid"
            wait_until 15 has_ended $name || kill -KILL "$pid" || true
        fi
    done
    # What runs on although its job is over; not the shells that call us.
    { grep -lzsxF "SLURM_CONF=$conf" /proc/[0-9]*/environ || true; } | while read -r file; do
        pid=${file//[!0-9]/}
        ! grep -qzs '^SLURM_JOB_ID=' "$file" || kill -KILL "$pid" 2>/dev/null || true
    done
}

export SLURM_CONF=$conf
case ${1:-} in
    up | down)
        need_root
        mkdir -p "$dir"
        exec 9>"$dir/lock"
        flock -w 120 9 || die "somebody else has held $dir/lock for two minutes"
        if [ "$1" = up ]; then up; else stop && say 'is down'; fi
        ;;
    status)
        need_root
        is_up >/dev/null 2>&1 || { say 'is down' && exit 3; }
        sinfo -N -o '%P %T cpus=%c mem=%m %G'
        ;;
    env) printf 'export SLURM_CONF=%q\n' "$conf" ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 2 ;;
esac
