#!/usr/bin/env bash
# A real Grid Engine on this one machine, for the tests, without systemd.
#
#   single_node_sge.sh up       install by apt if it is missing, start, wait until a job has run
#   single_node_sge.sh status   0 if it can be used, 3 if not
#   single_node_sge.sh env      print the lines by which a shell finds it
#   single_node_sge.sh down     end its jobs and its daemons
#
# Queues all.q, and short.q of which jobs end after two minutes; 8 slots. -l gpu=N gives a job N of
# four GPUs that are none, in CUDA_VISIBLE_DEVICES. It uses the cell of Debian's packages, and
# refuses where that is somebody else's. Needs root. Other files are in LFADSQ_TEST_SGE_DIR.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin

dir=${LFADSQ_TEST_SGE_DIR:-/tmp/lfadsq-test-sge}
export SGE_ROOT=/var/lib/gridengine SGE_CELL=default
common=$SGE_ROOT/$SGE_CELL/common
spool=/var/spool/gridengine
patience_s=40
node=$(hostname -s)

say() { printf 'test Grid Engine: %s\n' "$*"; }
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
        sleep 0.3
    done
}
# A pid file outlives its process, whose number may be another's by now.
pid_of() {
    local file pid
    for file in "$spool/qmaster/${1#sge_}.pid" "$spool"/execd/*/"${1#sge_}".pid; do
        pid=$(tr -dc 0-9 2>/dev/null <"$file") || continue
        [ "$(readlink "/proc/$pid/exe")" != "/usr/lib/gridengine/$1" ] || { echo "$pid" && return; }
    done
    return 1
}
has_ended() { ! pid_of "$1"; }
# Whoever uses the Grid Engine of this machine must not lose jobs or settings by tests.
refuse_foreign() {
    local name pid master
    for name in sge_qmaster sge_execd; do
        pid=$(pid_of $name) || continue
        grep -qz '^LFADSQ_TEST_SGE_DIR=' "/proc/$pid/environ" || die "$name ($pid) is not of the tests"
    done
    master=$(grep -v '^#' 2>/dev/null <"$common/act_qmaster" | head -n 1) || return 0
    case ${master%%.*} in "" | localhost | "$node") ;; *) die "this machine is one of $master" ;; esac
}
master_answers() { timeout 5 qconf -sh; }
# Five columns: a sixth would be what is wrong with the queue.
queue_is_ready() { timeout 5 qstat -f -q all.q | grep -qE "^all\.q@$node( +[^ ]+){4} *$"; }
no_job_is_left() { [ -z "$(timeout 5 qstat -u '*')" ]; }
has_run() { timeout 5 qacct -j "$1" | grep -qE '^exit_status +0'; }
is_up() { pid_of sge_qmaster && pid_of sge_execd && master_answers && queue_is_ready; }

install_missing() {
    local policy=/usr/sbin/policy-rc.d
    [ ! -x /usr/lib/gridengine/sge_execd ] || [ ! -x /usr/lib/gridengine/sge_qmaster ] || return 0
    command -v apt-get >/dev/null || die 'Grid Engine is missing, and without apt-get stays so'
    say 'installing gridengine-master, gridengine-exec and gridengine-client'
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
            gridengine-master gridengine-exec gridengine-client; } >"$dir/log/apt.log" 2>&1 9>&- ||
        die 'apt-get failed' "$dir/log/apt.log"
}

# This Grid Engine counts GPUs but does not name them. Locks on open files come free with the job.
write_starter() {
    mkdir -p "$dir/gpus"
    chmod 1777 "$dir/gpus"
    cat >"$dir/starter.sh" <<STARTER
#!/bin/bash
want=\$(qstat -j "\$JOB_ID" | sed -n 's/^hard resource_list:.*\\bgpu=\\([0-9]*\\).*/\\1/p')
got=
for number in 0 1 2 3; do
    [ "\${want:-0}" -gt 0 ] || break
    exec {lock}>"$dir/gpus/\$number"
    flock -n "\$lock" || continue
    got+=,\$number
    want=\$((want - 1))
done
[ -z "\$got" ] || export CUDA_VISIBLE_DEVICES=\${got#,}
exec "\$@"
STARTER
    chmod 755 "$dir/starter.sh"
}

configure() {
    local files=$dir/configuration name limit verb
    mkdir -p "$files"
    qconf -ss | grep -qx "$node" || qconf -as "$node"
    qconf -sh | grep -qx "$node" || qconf -ah "$node"
    qconf -sc | grep -v '^#' >"$files/complex"
    grep -q '^gpu ' "$files/complex" || echo 'gpu gpu INT <= YES YES 0 0' >>"$files/complex"
    qconf -Mc "$files/complex"
    verb=M && qconf -se "$node" >/dev/null 2>&1 || verb=A
    printf '%s NONE\n' load_scaling user_lists xuser_lists projects xprojects usage_scaling \
        report_variables >"$files/host"
    printf '%s\n' "hostname $node" "complex_values gpu=4,slots=8" >>"$files/host"
    qconf "-${verb}e" "$files/host"
    verb=M && qconf -shgrp @allhosts >/dev/null 2>&1 || verb=A
    printf 'group_name @allhosts\nhostlist %s\n' "$node" >"$files/hosts"
    qconf "-${verb}hgrp" "$files/hosts"
    # Root may run jobs, the machine is looked at often, and what is done is noted at once.
    qconf -sconf global | sed -e 1d -e 's/accounting_flush_time=[0-9:]* *//g' \
        -e 's/flush_time=[0-9:]*/accounting_flush_time=00:00:00 flush_time=00:00:15/' \
        -e 's/^min_\([ug]id\) .*/min_\1 0/' -e 's|^mailer .*|mailer /bin/true|' \
        -e 's/^load_report_time .*/load_report_time 00:00:02/' >"$files/global"
    qconf -Mconf "$files/global"
    qconf -ssconf | sed -e 's/^schedule_interval .*/schedule_interval 0:0:1/' \
        -e 's/^\(flush_[a-z]*_sec\) .*/\1 1/' >"$files/scheduler"
    qconf -Msconf "$files/scheduler"
    for name in all.q short.q; do
        limit=INFINITY
        [ $name = all.q ] || limit=00:02:00
        verb=M && qconf -sq $name >/dev/null 2>&1 || verb=A
        qconf -sq | sed -e "s/^qname .*/qname $name/" -e 's/^hostlist .*/hostlist @allhosts/' \
            -e 's/^slots .*/slots 8/' -e "s/^h_rt .*/h_rt $limit/" -e 's/^pe_list .*/pe_list NONE/' \
            -e 's/^load_thresholds .*/load_thresholds NONE/' -e 's|^shell  .*|shell /bin/bash|' \
            -e 's/^shell_start_mode .*/shell_start_mode unix_behavior/' \
            -e "s|^starter_method .*|starter_method $dir/starter.sh|" >"$files/$name"
        qconf "-${verb}q" "$files/$name"
    done
    # What was left by one that was killed: jobs, and queues that are disabled or in error.
    qdel -f -u '*' || true
    qmod -e all.q short.q || true
    qmod -cq all.q short.q || true
}

# With an environment of their own, which jobs inherit, and without the lock.
start() {
    (cd / && exec env -i PATH="$PATH" LANG=C.UTF-8 SGE_ROOT="$SGE_ROOT" SGE_CELL="$SGE_CELL" \
        LFADSQ_TEST_SGE_DIR="$dir" setsid timeout 30 "$1") </dev/null >>"$dir/log/start.log" 2>&1 9>&- ||
        die "$1 does not start" "$dir/log/start.log" "$spool/qmaster/messages"
}

up() {
    local job_id
    mkdir -p "$dir/log"
    chmod 755 "$dir"
    if is_up >/dev/null 2>&1; then
        say 'is up already'
        return
    fi
    refuse_foreign
    getent hosts "$node" >/dev/null || die "the name of this machine, $node, has no address"
    install_missing
    stop
    write_starter
    echo "$node" >"$common/act_qmaster"
    # Where both have one address, Grid Engine would call the machine localhost.
    echo "$node localhost" >"$common/host_aliases"
    install -d -o sgeadmin -g sgeadmin /var/run/gridengine
    start sge_qmaster
    wait_until $patience_s master_answers || die 'sge_qmaster does not answer' "$spool/qmaster/messages"
    (configure) >>"$dir/log/start.log" 2>&1 9>&- || die 'qconf refuses' "$dir/log/start.log"
    start sge_execd
    wait_until $patience_s queue_is_ready || die "all.q@$node is not ready" "$spool/qmaster/messages"
    job_id=$(qsub -terse -b y -N first -o /dev/null -e /dev/null /bin/true)
    wait_until $patience_s has_run "$job_id" || die 'a first job does not run' "$spool/qmaster/messages"
    say 'is up'
}

stop() {
    local name pid
    if pid_of sge_qmaster >/dev/null && master_answers >/dev/null 2>&1; then
        no_job_is_left || qdel -f -u '*' >/dev/null || true
        wait_until 15 no_job_is_left || say 'some jobs do not end'
    fi
    for name in sge_execd sge_qmaster; do
        if pid=$(pid_of $name); then
            kill "$pid"
            wait_until 20 has_ended $name || kill -KILL "$pid" || true
        fi
    done
}

case ${1:-} in
    up | down)
        need_root
        mkdir -p "$dir"
        exec 9>"$dir/lock"
        flock -w 120 9 || die "somebody else has held $dir/lock for two minutes"
        if [ "$1" = up ]; then up; else refuse_foreign && stop && say 'is down'; fi
        ;;
    status)
        need_root
        is_up >/dev/null 2>&1 || { say 'is down' && exit 3; }
        qstat -f
        ;;
    env) printf 'export SGE_ROOT=%s SGE_CELL=%s\n' "$SGE_ROOT" "$SGE_CELL" ;;
    *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" && exit 2 ;;
esac
