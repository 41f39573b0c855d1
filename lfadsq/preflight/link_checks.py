"""Findings about the links in ``lfadsInput`` of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lfadsq.manager.param_values import DATA_PREFIX
from lfadsq.preflight.findings import Finding, Severity
from lfadsq.preflight.layout import InputLink, RunFolder
from lfadsq.preflight.summaries import Setting

__all__ = ["check_links", "check_writable"]

_PREPARE = "link it again with prepare_for_lfads in your drive script"


def check_links(
    run: RunFolder, collection: Path, setting: Setting | None, datasets: tuple[str, ...] | None
) -> Iterator[Finding]:
    """Look at the inputs of a run.

    Parameters
    ----------
    run : RunFolder
    collection : Path
        With all links resolved.
    setting : Setting or None
        What ``summary.txt`` says of its setting.
    datasets : tuple of str or None
        Which datasets it says the run has; None if it does not.
    """
    yield from _check_presence(run, datasets)
    for link in (*run.inputs.values(), *run.infos.values()):
        if not link.exists:
            yield _finding(
                run,
                link,
                Severity.ERROR if not link.is_info else Severity.WARNING,
                "link_dangling",
                "a link in lfadsInput leads to nothing",
                "prepare the data again with prepare_for_lfads, or bring the folder of data back",
            )
        elif link.link is None:
            yield from _check_copy(run, link, collection, setting)
        else:
            yield from _check_target(run, link, collection, setting)
    for dataset in run.inputs.keys() & run.infos.keys():
        h5, info = run.inputs[dataset], run.infos[dataset]
        known = [one for one in (h5, info) if one.exists and one.data_hash(collection) is not None]
        if len(known) > 1 and h5.leads_to.parent != info.leads_to.parent:
            yield _finding(
                run,
                info,
                Severity.ERROR,
                "link_pair",
                "the two files of a dataset lie in different folders, so trial numbers and"
                " conditions may be those of other data",
                _PREPARE,
                f"input in {_short(h5.leads_to.parent, collection)}, "
                f"inputInfo in {_short(info.leads_to.parent, collection)}",
            )


def _check_presence(run: RunFolder, datasets: tuple[str, ...] | None) -> Iterator[Finding]:
    expected = tuple(datasets or ())
    if not run.inputs and not expected:
        yield Finding(
            Severity.ERROR,
            "input_missing",
            "lfadsInput holds no lfads_<dataset>.h5",
            _PREPARE,
            run.name,
            path=run.paths.lfads_input,
        )
    for dataset in expected:
        if dataset not in run.inputs:
            yield Finding(
                Severity.ERROR,
                "input_missing",
                "a dataset of the run is not in lfadsInput, and would be left out of the model",
                _PREPARE,
                run.name,
                dataset,
                run.paths.input_h5(dataset),
            )
    for dataset in run.inputs:
        if expected and dataset not in expected:
            yield Finding(
                Severity.WARNING,
                "input_extra",
                "lfadsInput holds a dataset that is not one of the run: it would be trained on too",
                "remove the link, unless summary.txt is the older one",
                run.name,
                dataset,
                run.inputs[dataset].path,
            )
        if dataset not in run.infos:
            yield Finding(
                Severity.WARNING,
                "info_missing",
                "there is no inputInfo of a dataset: its results cannot be put into trial order"
                " by MATLAB",
                _PREPARE,
                run.name,
                dataset,
                run.paths.input_info(dataset),
            )


def _check_target(
    run: RunFolder, link: InputLink, collection: Path, setting: Setting | None
) -> Iterator[Finding]:
    data_hash = link.data_hash(collection)
    if data_hash is None:
        yield _finding(
            run,
            link,
            Severity.WARNING,
            "link_outside",
            "a link in lfadsInput leads out of the collection's folders of data",
            f"{_PREPARE}: data of another collection may change or vanish",
            str(link.leads_to),
        )
        return
    if setting is not None and data_hash != setting.data_hash:
        yield _finding(
            run,
            link,
            Severity.ERROR,
            "link_other_hash",
            "a link in lfadsInput leads to data that were prepared with other hyperparameters",
            _PREPARE,
            f"{DATA_PREFIX}{data_hash} instead of {DATA_PREFIX}{setting.data_hash}",
        )
    folder = link.leads_to.parent
    if folder.parent != collection and folder.name != run.run_name:
        yield _finding(
            run,
            link,
            Severity.WARNING,
            "link_other_run",
            "a link in lfadsInput leads to the data of another run specification",
            _PREPARE,
            _short(folder, collection),
        )
    if link.leads_to.name != link.path.name:
        yield _finding(
            run,
            link,
            Severity.WARNING,
            "link_other_dataset",
            "a link in lfadsInput leads to another dataset than its name says",
            _PREPARE,
            _short(link.leads_to, collection),
        )
    if link.link is not None and Path(link.link).is_absolute():
        yield _finding(
            run,
            link,
            Severity.NOTE,
            "link_absolute",
            "a link in lfadsInput is absolute: it breaks, or leads to the old data, when the"
            " collection is moved or copied",
            _PREPARE,
        )


def _check_copy(
    run: RunFolder, link: InputLink, collection: Path, setting: Setting | None
) -> Iterator[Finding]:
    if setting is None:
        return
    root = collection / f"{DATA_PREFIX}{setting.data_hash}"
    for original in (root / run.run_name / link.path.name, root / link.path.name):
        try:
            source, copy = original.stat(), link.path.stat()
        except OSError:
            continue
        if source.st_size != copy.st_size or source.st_mtime > copy.st_mtime:
            yield _finding(
                run,
                link,
                Severity.WARNING,
                "stale_copy",
                "a file in lfadsInput is no link, but an older copy of the prepared data",
                "replace it by a link: prepare_for_lfads(regenerate=True)",
                f"newer: {_short(original, collection)}",
            )
        return


def check_writable(run: RunFolder) -> Iterator[Finding]:
    """See that training may write what it writes; a run that is done writes nothing."""
    for path in () if run.is_done else run.unwritable:
        yield Finding(
            Severity.ERROR,
            "not_writable",
            "something that training writes is not writable by you, or of the wrong kind",
            "correct its permissions or its owner, or move what is in the way",
            run.name,
            path=path,
        )


def _finding(
    run: RunFolder,
    link: InputLink,
    severity: Severity,
    code: str,
    problem: str,
    remedy: str,
    detail: str = "",
) -> Finding:
    if not detail and link.link is not None:
        detail = f"-> {link.link}"
    return Finding(severity, code, problem, remedy, run.name, link.dataset, link.path, detail)


def _short(path: Path, collection: Path) -> str:
    return str(path.relative_to(collection)) if path.is_relative_to(collection) else str(path)
