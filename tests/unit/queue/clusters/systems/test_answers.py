"""What is made of the answers of systems that cannot be had here, and of rare ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lfadsq.errors import ClusterError
from lfadsq.queue.clusters.jobs import JobState
from lfadsq.queue.clusters.systems import SYSTEM_NAMES, system_of
from lfadsq.queue.clusters.systems.calls import call
from lfadsq.queue.clusters.systems.slurm import submit_environment
from lfadsq.queue.records import Cause

from .conftest import Sayings

PENDING, RUNNING, ENDED = JobState.PENDING, JobState.RUNNING, JobState.ENDED


@pytest.mark.parametrize("name", SYSTEM_NAMES)
def test_a_missing_program_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    system = system_of(name)
    for do in (lambda: system.submit("x"), lambda: system.ask(["1"]), lambda: system.cancel(["1"])):
        with pytest.raises(ClusterError, match=r"was not found.*login node"):
            do()


@pytest.mark.parametrize("name", SYSTEM_NAMES)
def test_nothing_is_asked_of_no_jobs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert system_of(name).ask([]) == {}
    system_of(name).cancel([])


SUBMITTED = {
    "slurm": ("sbatch", "notice of the site\n812;cluster2\n", "812"),
    "pbs": ("qsub", "812.pbs01.site.edu\n", "812.pbs01.site.edu"),
    "sge": ("qsub", "812.1-3:1\n", "812"),
    "lsf": ("bsub", "Job <812> is submitted to queue <gpu>.\n", "812"),
    "htcondor": ("condor_submit", "812.0 - 812.0\n", "812.0"),
    "oar": ("oarsub", "[ADMISSION RULE] Modify\nOAR_JOB_ID=812\n", "812"),
    "moab": ("msub", "\nMoab.812\n", "Moab.812"),
}


@pytest.mark.parametrize("name", SYSTEM_NAMES)
def test_the_id_of_a_job_is_found(name: str, say: Sayings) -> None:
    program, out, job_id = SUBMITTED[name]
    say(program, out)
    assert system_of(name).submit("#!/bin/sh\ntrue\n") == job_id
    say(program, "thank you\n")
    with pytest.raises(ClusterError, match="thank you"):
        system_of(name).submit("#!/bin/sh\ntrue\n")
    say(program, "", "no: account lab has no hours left\n", 1)
    with pytest.raises(ClusterError, match="exit status 1: no: account lab has no hours left"):
        system_of(name).submit("#!/bin/sh\ntrue\n")


def test_arrays_have_an_id_too(say: Sayings) -> None:
    say("condor_submit", "812.0 - 812.2\n")
    assert system_of("htcondor").submit("Queue 3") == "812"
    say("oarsub", "OAR_JOB_ID=7\nOAR_JOB_ID=8\nOAR_ARRAY_ID=7\n")
    assert system_of("oar").submit("x") == "array:7"
    say("qsub", "9[].pbs01\n")
    assert system_of("pbs").submit("x") == "9[].pbs01"


def test_oar_takes_no_argument_for_a_directive(say: Sayings) -> None:
    say("oarsub", "OAR_JOB_ID=1\n")
    system_of("oar").submit("#!/bin/bash\n#OAR -n x\ntrue 'a\x85#OAR --own\u2028#! b'\n")
    (call,) = say.calls("oarsub")
    assert call == "-n x true 'a\x85#OAR --own\u2028#! b'"


def test_oar_gets_its_options_and_the_script_as_arguments(say: Sayings) -> None:
    say("oarsub", "OAR_JOB_ID=1\n")
    system_of("oar").submit("#!/bin/bash\n\n#OAR -n x\n#OAR -p \"a='b c'\"\n# why\nexec true\n")
    assert say.calls("oarsub") == ["-n x -p a='b c' # why", "exec true"]


@pytest.mark.parametrize(
    "words",
    [
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        "squeue: error: Socket timed out on send/recv operation",
    ],
)
def test_a_busy_slurm_is_an_error_and_no_lost_job(say: Sayings, words: str) -> None:
    say("squeue", err=words + "\n", status=1)
    say("sacct")
    with pytest.raises(ClusterError, match=words[:20]):
        system_of("slurm").ask(["1"])


SLURM = [
    ("PENDING", "Resources", PENDING, None, False),
    ("PENDING", "JobHeldUser", PENDING, None, True),
    ("PENDING", "launch failed requeued held", PENDING, None, True),
    ("PENDING", "QOSMaxWallDurationPerJobLimit", PENDING, None, True),
    ("PENDING", "QOSMaxJobsPerUserLimit", PENDING, None, False),
    ("CONFIGURING", "None", PENDING, None, False),
    ("REQUEUED", "None", PENDING, None, False),
    ("RUNNING", "None", RUNNING, None, False),
    ("COMPLETING", "None", RUNNING, None, False),
    ("SUSPENDED", "None", RUNNING, None, False),
    ("A_WORD_OF_TOMORROW", "None", RUNNING, None, False),
    ("COMPLETED", "None", ENDED, None, False),
    ("TIMEOUT", "TimeLimit", ENDED, Cause.WALLTIME, False),
    ("PREEMPTED", "None", ENDED, Cause.PREEMPTED, False),
    ("CANCELLED", "None", ENDED, Cause.PREEMPTED, False),
    ("NODE_FAIL", "NodeDown", ENDED, Cause.NODE_LOST, False),
    ("OUT_OF_MEMORY", "OutOfMemory", ENDED, Cause.NODE_LOST, False),
    ("FAILED", "NonZeroExitCode", ENDED, Cause.NODE_LOST, False),
]


@pytest.mark.parametrize(("state", "reason", "expected", "cause", "is_stuck"), SLURM)
def test_states_of_slurm(
    say: Sayings, state: str, reason: str, expected: JobState, cause: Cause | None, is_stuck: bool
) -> None:
    say("squeue", f"7|{state}|{reason}|n[1-2]\n")
    say("scontrol", "JobId=7 JobState=FAILED ExitCode=3:0 NodeList=n1\n")
    report = system_of("slurm").ask(["7"])["7"]
    assert (report.state, report.cause, report.is_stuck) == (expected, cause, is_stuck)
    assert report.words.startswith(state)
    assert (reason in report.words) is (reason != "None")
    assert report.nodes == "n[1-2]"
    if state == "FAILED":
        assert report.words == "FAILED (NonZeroExitCode, exit code 3:0)"


def test_what_squeue_forgot_is_asked_of_the_accounts(say: Sayings) -> None:
    say("squeue", "1|RUNNING|None|n1\n")
    say("sacct", "2|CANCELLED by 1000|0:15|n2\n3_1|COMPLETED|0:0|n3\n3_2|TIMEOUT|0:0|n4\n")
    reports = system_of("slurm").ask(["1", "2", "3", "4"])
    assert set(reports) == {"1", "2", "3"}
    assert say.calls("sacct")[0].split("-j ")[1].split()[0] == "2,3,4"
    assert reports["2"].words == "CANCELLED by 1000 (exit code 0:15)"
    assert reports["2"].cause is Cause.PREEMPTED
    assert (reports["3"].state, reports["3"].cause) == (ENDED, Cause.WALLTIME)
    assert reports["3"].nodes == "n3,n4"


@pytest.mark.parametrize("has_sacct", [True, False])
def test_without_accounts_a_forgotten_job_is_missing(say: Sayings, has_sacct: bool) -> None:
    say("squeue", err="slurm_load_jobs error: Invalid job id specified\n", status=1)
    if has_sacct:
        say("sacct", err="Slurm accounting storage is disabled\n", status=1)
    assert system_of("slurm").ask(["1"]) == {}


def test_an_array_runs_as_long_as_one_of_it_does(say: Sayings) -> None:
    say("squeue", "3_1|COMPLETED|None|n1\n3_2|RUNNING|None|n2\n3_3|PENDING|Resources|\n")
    report = system_of("slurm").ask(["3"])["3"]
    assert (report.state, report.words, report.nodes) == (RUNNING, "RUNNING", "n2")


def test_hundreds_of_jobs_are_asked_a_hundred_at_a_time(say: Sayings) -> None:
    say("squeue")
    say("sacct")
    system_of("slurm").ask([str(number) for number in range(250)])
    assert len(say.calls("squeue")) == 3


def test_cancelling_passes_over_what_has_ended_but_not_over_a_refusal(say: Sayings) -> None:
    gone = "scancel: error: Kill job error on job id 7: Invalid job id specified\n"
    say("scancel", err=gone, status=1)
    system_of("slurm").cancel(["7"])
    say("scancel", err=gone + "scancel: error: Access/permission denied\n", status=1)
    with pytest.raises(ClusterError, match="permission denied"):
        system_of("slurm").cancel(["7", "8"])


def test_a_job_of_pbs_that_is_ending_is_passed_over_too(say: Sayings) -> None:
    said = "qdel: Request invalid for state of job 7.pbs01\nqdel: Job has finished 8.pbs01\n"
    say("qdel", err=said, status=35)
    system_of("pbs").cancel(["7.pbs01", "8.pbs01"])
    say("qdel", err=said + "qdel: Unauthorized Request  9.pbs01\n", status=159)
    with pytest.raises(ClusterError, match="Unauthorized Request"):
        system_of("pbs").cancel(["7.pbs01", "8.pbs01", "9.pbs01"])


def test_what_a_variable_of_a_job_of_pbs_holds_is_not_taken_for_its_state(say: Sayings) -> None:
    """Its JSON is none then, and its text has the line breaks of the variable."""
    say(
        "qstat",
        "Job Id: 7.pbs01\n    Job_Name = x\n    job_state = R\n"
        "    Variable_List = PBS_O_HOME=/home/me,BASH_FUNC_ml()=() {\n job_state = Q\n"
        "    job_state = F\n}\n    Resource_List.walltime = 01:00:00\n    comment = Job run\n"
        "\t on (node1)\n",
    )
    report = system_of("pbs").ask(["7.pbs01"])["7.pbs01"]
    assert (report.state, report.words) == (JobState.RUNNING, "R (Job run on (node1))")


def test_variables_of_sbatch_do_not_win_over_the_script() -> None:
    variables = {"SBATCH_PARTITION": "x", "SBATCH_ACCOUNT": "lab", "SLURM_JOB_ID": "1",
                 "SLURM_CONF": "/c", "PATH": "/bin"}  # fmt: skip
    kept = submit_environment("#!/bin/sh\n#SBATCH -p gpu\n", variables)
    assert kept == {"SBATCH_ACCOUNT": "lab", "SLURM_CONF": "/c", "PATH": "/bin"}


LSF = [
    ("7^PEND^-^-^-^New job is waiting for scheduling;", PENDING, None, False, ""),
    ("7^PSUSP^-^-^-^The job was suspended by the user;", PENDING, None, True, ""),
    ("7^RUN^-^-^4*node01^-", RUNNING, None, False, "node01"),
    ("7^UNKWN^-^-^node01^-", RUNNING, None, False, "node01"),
    ("7^DONE^-^-^node01:node02^-", ENDED, None, False, "node01,node02"),
    ("7^EXIT^140^TERM_RUNLIMIT: job killed after reaching LSF run time limit^node01^-", ENDED,
     Cause.WALLTIME, False, "node01"),
    ("7^EXIT^130^TERM_OWNER: job killed by owner^node01^-", ENDED, Cause.PREEMPTED, False,
     "node01"),
    ("7^EXIT^137^TERM_MEMLIMIT: job killed after reaching LSF memory usage limit^n^-", ENDED,
     Cause.NODE_LOST, False, "n"),
    ("7^EXIT^1^-^node01^-", ENDED, Cause.NODE_LOST, False, "node01"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "state", "cause", "is_stuck", "nodes"), LSF)
def test_states_of_lsf(
    say: Sayings, row: str, state: JobState, cause: Cause | None, is_stuck: bool, nodes: str
) -> None:
    say("bjobs", row + "\n", "Job <8> is not found\n", 255)
    reports = system_of("lsf").ask(["7", "8"])
    assert set(reports) == {"7"}
    one = reports["7"]
    assert (one.state, one.cause, one.is_stuck, one.nodes) == (state, cause, is_stuck, nodes)
    assert one.words.startswith(row.split("^")[1])


def test_lsf_that_does_not_answer_is_an_error(say: Sayings) -> None:
    say("bjobs", "", "LSF is down. Please wait ...\n", 255)
    with pytest.raises(ClusterError, match="LSF is down"):
        system_of("lsf").ask(["7"])


CONDOR = [
    ({"JobStatus": 1}, PENDING, None, False, "IDLE"),
    ({"JobStatus": 2, "RemoteHost": "slot1@n1"}, RUNNING, None, False, "RUNNING"),
    ({"JobStatus": 5, "HoldReason": "Error from slot1@n1: no such file"}, PENDING, None, True,
     "HELD (Error from slot1@n1: no such file)"),
    ({"JobStatus": 4, "ExitCode": 0, "ExitBySignal": False}, ENDED, None, False,
     "COMPLETED (exit code 0)"),
    ({"JobStatus": 4, "ExitCode": 1}, ENDED, Cause.NODE_LOST, False, "COMPLETED (exit code 1)"),
    ({"JobStatus": 4, "ExitBySignal": True, "ExitSignal": 9}, ENDED, Cause.NODE_LOST, False,
     "COMPLETED (signal 9)"),
    ({"JobStatus": 3, "RemoveReason": "via condor_rm"}, ENDED, Cause.PREEMPTED, False,
     "REMOVED (via condor_rm)"),
    ({"JobStatus": 3, "LastJobStatus": 2,
      "RemoveReason": "The job attribute PeriodicRemove expression evaluated to TRUE"}, ENDED,
     Cause.WALLTIME, False, "REMOVED (The job attribute PeriodicRemove"),
    ({"JobStatus": 3, "LastJobStatus": 1,
      "RemoveReason": "The job attribute PeriodicRemove expression evaluated to TRUE"}, ENDED,
     Cause.PREEMPTED, False, "REMOVED (The job attribute PeriodicRemove"),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "state", "cause", "is_stuck", "words"), CONDOR)
@pytest.mark.parametrize("program", ["condor_q", "condor_history"])
def test_states_of_htcondor(
    say: Sayings, attributes: dict[str, object], state: JobState, cause: Cause | None,
    is_stuck: bool, words: str, program: str,
) -> None:  # fmt: skip
    for other in ("condor_q", "condor_history"):
        say(other, "")
    say(program, json.dumps([{"ClusterId": 7, "ProcId": 0, **attributes}]))
    reports = system_of("htcondor").ask(["7.0", "8.0"])
    assert set(reports) == {"7.0"}
    one = reports["7.0"]
    assert (one.state, one.cause, one.is_stuck) == (state, cause, is_stuck)
    assert one.words.startswith(words)


def test_htcondor_that_does_not_answer_is_an_error(say: Sayings) -> None:
    say("condor_q", "", "Error: Can't find address of local schedd\n", 1)
    with pytest.raises(ClusterError, match="local schedd"):
        system_of("htcondor").ask(["7.0"])


OAR = [
    ({"state": "Waiting", "message": "R=4,W=1:0:0"}, PENDING, None, False),
    ({"state": "Hold"}, PENDING, None, True),
    ({"state": "Running", "assigned_network_address": ["n1"]}, RUNNING, None, False),
    ({"state": "Finishing"}, RUNNING, None, False),
    ({"state": "Terminated", "exit_code": 0}, ENDED, None, False),
    ({"state": "Terminated", "exit_code": 256}, ENDED, Cause.NODE_LOST, False),
    ({"state": "Error", "events": [{"type": "WALLTIME"}]}, ENDED, Cause.WALLTIME, False),
    ({"state": "Error", "events": [{"type": "FRAG_JOB_REQUEST"}]}, ENDED, Cause.PREEMPTED, False),
    ({"state": "Error", "events": []}, ENDED, Cause.NODE_LOST, False),
]


@pytest.mark.parametrize(("job", "state", "cause", "is_stuck"), OAR)
def test_states_of_oar(
    say: Sayings, job: dict[str, object], state: JobState, cause: Cause | None, is_stuck: bool
) -> None:
    say("oarstat", json.dumps({"7": job}))
    report = system_of("oar").ask(["7"])["7"]
    assert (report.state, report.cause, report.is_stuck) == (state, cause, is_stuck)
    assert report.words.startswith(str(job["state"]))


def test_oar_that_does_not_answer_is_an_error(say: Sayings) -> None:
    say("oarstat", "", "[oarstat] Cannot connect to the database\n", 2)
    with pytest.raises(ClusterError, match="database"):
        system_of("oar").ask(["7"])
    say("oarstat", "{}")
    assert system_of("oar").ask(["7"]) == {}


MOAB = """
job {job_id}

AName: gpu-1
State: {state}
{more}
Creds:  user:ann  group:lab  account:lab  class:gpu
Allocated Nodes:
[node12:4]
"""


@pytest.mark.parametrize(
    ("state", "more", "expected", "cause", "is_stuck"),
    [
        ("Idle", "", PENDING, None, False),
        ("BatchHold", "", PENDING, None, True),
        ("Running", "", RUNNING, None, False),
        ("Completed", "Completion Code: 0  Time: Tue Nov  3 10:00:00", ENDED, None, False),
        ("Completed", "Completion Code: 1", ENDED, Cause.NODE_LOST, False),
        ("Completed", "Completion Code: 271", ENDED, Cause.PREEMPTED, False),
        ("Removed", "Completion Code: 271\nMessage[0] job exceeded wallclock limit", ENDED,
         Cause.WALLTIME, False),
    ],
)  # fmt: skip
def test_states_of_moab(
    say: Sayings, state: str, more: str, expected: JobState, cause: Cause | None, is_stuck: bool
) -> None:
    say("checkjob", MOAB.format(job_id="Moab.7", state=state, more=more))
    report = system_of("moab").ask(["Moab.7"])["Moab.7"]
    assert (report.state, report.cause, report.is_stuck) == (expected, cause, is_stuck)
    assert report.words.startswith(state)
    assert report.nodes == "node12"


def test_moab_forgets_and_refuses(say: Sayings) -> None:
    say("checkjob", "", "ERROR:    invalid job specified (Moab.7)\n", 1)
    assert system_of("moab").ask(["Moab.7"]) == {}
    say("checkjob", "", "ERROR: cannot connect to server\n", 1)
    with pytest.raises(ClusterError, match="cannot connect"):
        system_of("moab").ask(["Moab.7"])


QACCT = """==============================================================
qname        all.q
hostname     n1
failed       {failed}
exit_status  {status}
taskid       undefined
"""


@pytest.mark.parametrize(
    ("failed", "status", "cause"),
    [
        ("0", "0", None),
        ("0", "3", Cause.NODE_LOST),
        ("37  : qmaster enforced h_rt, h_cpu, or h_vmem limit", "137", Cause.WALLTIME),
        ("100 : assumedly after job", "137", Cause.PREEMPTED),
        ("26  : opening input/output file", "0", Cause.NODE_LOST),
    ],
)
def test_accounts_of_grid_engine(
    say: Sayings, failed: str, status: str, cause: Cause | None
) -> None:
    say("qstat", "<job_info><queue_info></queue_info><job_info></job_info></job_info>")
    say("qacct", QACCT.format(failed=failed, status=status))
    report = system_of("sge").ask(["7"])["7"]
    assert (report.state, report.cause, report.nodes) == (ENDED, cause, "n1")
    assert f"exit_status {status}" in report.words


def told_by_grid_engine(letters: str, *lines: str) -> str:
    """Give one answer to both questions: a list, and in a comment of it what qstat -j tells."""
    return (
        "<job_info><queue_info><job_list><JB_job_number>7</JB_job_number>"
        f"<state>{letters}</state><queue_name>all.q@n1</queue_name></job_list></queue_info>"
        f"</job_info>\n<!--\n{'=' * 62}\njob_number:                 7\n"
        + "".join(f"{line}\n" for line in lines)
        + "-->\n"
    )


@pytest.mark.parametrize(
    ("letters", "state", "is_stuck", "words"),
    [
        ("r", RUNNING, False, "r"),
        ("t", RUNNING, False, "t"),
        ("Rr", RUNNING, False, "Rr"),
        ("hr", RUNNING, False, "hr"),
        ("dr", RUNNING, False, "dr (deletion)"),
        ("dRr", RUNNING, False, "dRr (deletion)"),
        ("S", RUNNING, False, "S (suspended)"),
        ("T", RUNNING, False, "T (suspended)"),
        ("qw", PENDING, False, "qw"),
        ("Rq", PENDING, False, "Rq"),
        ("hqw", PENDING, True, "hqw (hold)"),
        ("hRwq", PENDING, True, "hRwq (hold)"),
        ("Eqw", PENDING, True, "Eqw (error)"),
    ],
)
def test_states_of_grid_engine(
    say: Sayings, letters: str, state: JobState, is_stuck: bool, words: str
) -> None:
    # Many sites have no reasons collected.
    info = "scheduling info:            (Collecting of scheduler job information is turned off)"
    for lines in ((), (info,)):
        say("qstat", told_by_grid_engine(letters, *lines))
        report = system_of("sge").ask(["7"])["7"]
        assert (report.state, report.is_stuck, report.words) == (state, is_stuck, words)
        assert report.nodes == "n1"


@pytest.mark.parametrize(
    ("letters", "lines", "is_stuck", "words"),
    [
        (
            "qw",
            (
                'scheduling info:            cannot run in queue "short.q" because it is not '
                "contained in its hard queue list (-q)",
                '                            (-l gpu=9) cannot run at host "n1" because it offers '
                "only hc:gpu=4.000000",
                "other:                      x",
            ),
            False,
            'qw ((-l gpu=9) cannot run at host "n1" because it offers only hc:gpu=4.000000)',
        ),
        (
            "hqw",
            (
                "jid_predecessor_list:       6",
                "scheduling info:            job dropped because of job dependencies",
            ),
            False,
            "hqw (job dropped because of job dependencies)",
        ),
        (
            "Eqw",
            (
                "error reason          1:      11/23/2026 01:14:09 [0:5448]: error: can't open it",
                "scheduling info:            Job is in error state",
            ),
            True,
            "Eqw (error: can't open it)",
        ),
    ],
)
def test_reasons_of_grid_engine(
    say: Sayings, letters: str, lines: tuple[str, ...], is_stuck: bool, words: str
) -> None:
    say("qstat", told_by_grid_engine(letters, *lines))
    report = system_of("sge").ask(["7"])["7"]
    assert (report.state, report.is_stuck, report.words) == (PENDING, is_stuck, words)
    assert say.calls("qstat") == ["-xml", "-j 7"]


def test_grid_engine_forgives_the_deletion_of_what_is_being_deleted(say: Sayings) -> None:
    gone = 'job 7 is already in deletion\ndenied: job "8" does not exist\n'
    say("qdel", gone, status=1)
    system_of("sge").cancel(["7", "8"])
    say(
        "qdel",
        f'{gone}ann - you do not have the necessary privileges to delete the job "9"\n',
        status=1,
    )
    with pytest.raises(ClusterError, match="necessary privileges"):
        system_of("sge").cancel(["7", "8", "9"])


def test_grid_engine_that_does_not_answer_is_an_error(say: Sayings) -> None:
    say("qstat", "", "error: commlib error: got select error (Connection refused)\n", 1)
    with pytest.raises(ClusterError, match="Connection refused"):
        system_of("sge").ask(["7"])


def test_a_command_that_hangs_is_given_up_and_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(ClusterError, match=r"had not ended after 1 s.*does not answer"):
        call(["sh", "-c", 'echo $$ >"$0"; exec sleep 100', str(pid)], timeout_s=1)
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def test_words_are_asked_for_in_english_and_never_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    answer = call(["sh", "-c", 'echo "$LC_ALL"; echo one >&2; echo two >&2; exit 4'])
    assert (answer.status, answer.out, answer.words) == (4, "C\n", "one / two")
