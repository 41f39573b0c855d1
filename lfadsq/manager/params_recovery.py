"""Recovering settings of hyperparameters, so that their hashes are those on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from lfadsq.errors import ConfigError
from lfadsq.manager.displays import format_general
from lfadsq.manager.hash_search import Choice, HashSearch
from lfadsq.manager.hyperparams import HyperParam
from lfadsq.manager.opened_params import (
    NAMES_ON_DISK,
    HashesOnDisk,
    declare_params_class,
    derive_with_hashes,
    other_than,
)
from lfadsq.manager.params import RunParams
from lfadsq.manager.summary_reading import SettingText
from lfadsq.manager.value_reading import options_of_unknown, values_of_text
from lfadsq.paths import LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA

__all__ = ["ParamsRecovery"]

_Pairs = dict[str, list[tuple[HyperParam, Any]]]
_FEW_TRIES = 100
_LEFT_OUT = frozenset({"name", "version"}) | NAMES_ON_DISK


@dataclass
class _Found:
    """A setting on disk, and the values that it is taken to have, other than defaults.

    `default_texts` are those of parameters that no class at hand declares.
    """

    param_hash: str
    data_hash: str
    name: str
    values: dict[str, Any] = field(default_factory=dict)
    default_texts: dict[str, str] = field(default_factory=dict)


class ParamsRecovery:
    """Recovers the settings of one class, of which later ones profit from what earlier ones tell.

    Parameters
    ----------
    title : str
        The class, as summaries call it.
    base : type
        `RunParams`, or a subclass whose declarations are known.
    version : int
        Version of the collection.
    search : HashSearch
        Shared by all classes of a collection.
    """

    def __init__(self, title: str, base: type[RunParams], version: int, search: HashSearch) -> None:
        self._title = title
        self._base = base
        self._version = version
        self._search = search
        self._known = {hyper.name: hyper for hyper in base.hyperparams()}
        self._unknown: dict[str, HyperParam] = {}
        self._proven: set[str] = set()
        self._settings: dict[str, _Found] = {}
        self._proven_data: dict[str, _Found] = {}
        self._values_read: dict[tuple[str, str], list[Any]] = {}

    # --- a setting that a summary lists -----------------------------------------------------------

    def read_text(
        self,
        text: SettingText,
        exact_values: Mapping[str, Any],
        more_texts: Callable[[], Mapping[str, Sequence[str]]],
    ) -> None:
        """Recover a setting of a summary.

        Parameters
        ----------
        text : SettingText
            What the summary says.
        exact_values : dict of str to object
            Values that are known exactly.
        more_texts : callable
            Gives further texts of hyperparameters by name, of more digits; it is only asked if the
            summary is not enough.
        """
        found = _Found(text.param_hash, text.data_hash, text.name)
        for name, value_text in text.values.items():
            hyper = self._known.get(name)
            if name in text.differing or name in _LEFT_OUT:
                continue
            if hyper is None:
                found.default_texts[name] = value_text
                continue
            values = self._values_of(hyper, value_text)
            if values and not any(map(hyper.is_at_default, values)):
                found.values[name] = values[0]  # the class had another default then
        pairs = self._pairs_of(text, exact_values)
        # Scripts are read before much is tried: they mostly have all digits.
        if not self._match(found, pairs, _FEW_TRIES):
            self._match(found, self._with_more_digits(pairs, text, more_texts()))
        self._settings[found.param_hash] = found

    def _pairs_of(self, text: SettingText, exact_values: Mapping[str, Any]) -> _Pairs:
        pairs: _Pairs = {}
        for name in sorted(text.differing - _LEFT_OUT):
            value_text = text.values.get(name, "")
            hyper = self._known.get(name)
            if hyper is None:
                options = options_of_unknown(name, value_text)
                learned = self._unknown.get(name)
                if learned is not None:
                    options.sort(key=lambda pair: pair[0].matlab_class != learned.matlab_class)
                pairs[name] = [(self._as_learned(one), value) for one, value in options]
            elif name in exact_values:
                pairs[name] = [(hyper, exact) for exact in _converted(hyper, exact_values[name])]
            else:
                values = self._values_of(hyper, value_text)
                pairs[name] = [(hyper, one) for one in values if not hyper.is_at_default(one)]
        return pairs

    def _values_of(self, hyper: HyperParam, text: str) -> list[Any]:
        # The settings of a sweep have nearly all texts in common.
        key = hyper.name, text
        if key not in self._values_read:
            self._values_read[key] = values_of_text(hyper, text)
        return self._values_read[key]

    def _as_learned(self, hyper: HyperParam) -> HyperParam:
        learned = self._unknown.get(hyper.name, hyper)
        return replace(
            hyper, in_param_hash=learned.in_param_hash, in_data_hash=learned.in_data_hash
        )

    def _with_more_digits(
        self, pairs: _Pairs, text: SettingText, more_texts: Mapping[str, Sequence[str]]
    ) -> _Pairs:
        more = dict(pairs)
        for name, texts in more_texts.items():
            if name not in pairs or name not in self._known:
                continue
            hyper = self._known[name]
            exact = [value for one in texts for value in values_of_text(hyper, one)[:1]]
            shown = text.values.get(name)
            fitting = [one for one in exact if format_general(one, hyper.matlab_class) == shown]
            others = [(hyper, value) for _, value in pairs[name] if value not in fitting]
            more[name] = [*((hyper, value) for value in fitting), *others]
        return more

    # --- a setting that only folders tell of ------------------------------------------------------

    def read_values(
        self, param_hash: str, data_hash: str, values: Mapping[str, Sequence[Any]]
    ) -> None:
        """Recover a setting that no summary lists.

        Parameters
        ----------
        param_hash, data_hash : str
            Those of its folders; no data hash if nothing tells it.
        values : dict of str to sequence
            By name of a hyperparameter what it may be, as values or texts, the likeliest first.
            Names that no class declares are left out.
        """
        found = _Found(param_hash, data_hash, "")
        pairs: _Pairs = {}
        for name, options in values.items():
            hyper = self._known.get(name)
            if hyper is None:
                continue
            read = [
                value
                for option in options
                for value in (
                    self._values_of(hyper, option)
                    if isinstance(option, str)
                    else _converted(hyper, option)
                )
            ]
            if read:
                pairs[name] = [
                    (hyper, value) for index, value in enumerate(read) if value not in read[:index]
                ]
        for name, hyper in self._unknown.items():
            seen = [one.values[name] for one in self._settings.values() if name in one.values]
            distinct = [value for number, value in enumerate(seen) if value not in seen[:number]]
            pairs[name] = [(hyper, _DEFAULT), *((hyper, value) for value in distinct)]
        self._match(found, pairs)
        self._settings[param_hash] = found

    # --- hashes -----------------------------------------------------------------------------------

    def _match(self, found: _Found, pairs: _Pairs, *most_tries: int) -> bool:
        """Choose among values by the hashes; give whether both came out."""
        chosen = self._find(pairs, found.param_hash, self._is_in_param_hash, *most_tries)
        if chosen is not None:
            self._learn(chosen, lambda hyper, is_in: replace(hyper, in_param_hash=is_in))
            self._proven |= {one.hyper.name for one in chosen if one.value is not _DEFAULT}
            pairs = {one.hyper.name: [(one.hyper, one.value)] for one in chosen}
        in_data = None
        if found.data_hash:
            in_data = self._find(pairs, found.data_hash, self._is_in_data_hash, *most_tries)
        if in_data is not None:
            self._learn(in_data, lambda hyper, is_in: replace(hyper, in_data_hash=is_in))
            pairs = pairs | {one.hyper.name: [(one.hyper, one.value)] for one in in_data}
            self._proven_data[found.data_hash] = found
        for name, (hyper, value) in ((name, one[0]) for name, one in pairs.items() if one):
            if name not in self._known:
                self._unknown.setdefault(name, hyper)
            if value is not _DEFAULT and not hyper.is_at_default(value):
                found.values[name] = value
        return chosen is not None and in_data is not None

    def _find(
        self,
        pairs: _Pairs,
        wanted: str,
        is_in_hash: Callable[[HyperParam], bool],
        *most_tries: int,
    ) -> list[Choice] | None:
        choices = []
        for name, options in pairs.items():
            if name in self._known and not is_in_hash(self._known[name]):
                # Whatever its value is, the hash does not tell.
                choices += [[Choice(*pair, is_hashed=False)] for pair in options[:1]]
                continue
            likely, unlikely = [], []
            is_open = name not in self._known and (
                name not in self._proven or is_in_hash == self._is_in_data_hash
            )
            for hyper, value in options:
                is_default = value is _DEFAULT or hyper.is_at_default(value)
                is_hashed = not is_default and is_in_hash(hyper)
                likely.append(Choice(hyper, value, is_hashed=is_hashed))
                if is_open and not is_default:
                    unlikely.append(Choice(hyper, value, is_hashed=not is_hashed))
            choices.append(likely + unlikely)
        return self._search.find(choices, wanted, *most_tries)

    def _is_in_param_hash(self, hyper: HyperParam) -> bool:
        return hyper.in_param_hash

    def _is_in_data_hash(self, hyper: HyperParam) -> bool:
        is_old = self._version <= LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA
        return hyper.in_data_hash and not (is_old and hyper.name == "c_factors_dim")

    def _learn(
        self, chosen: Sequence[Choice], noted: Callable[[HyperParam, bool], HyperParam]
    ) -> None:
        for one in chosen:
            name = one.hyper.name
            if name not in self._known and one.value is not _DEFAULT:
                learned = self._unknown[name] if name in self._proven else one.hyper
                self._unknown[name] = noted(learned, one.is_hashed)

    # --- the result -------------------------------------------------------------------------------

    def finish(self) -> tuple[list[RunParams], list[str]]:
        """Give the settings.

        Returns
        -------
        params : list of RunParams
            In the order in which they were read, each with the hashes on disk.
        unconfirmed : list of str
            Param hashes of those whose hashes could not be computed.
        """
        declared = [self._declare(name) for name in self._names_unknown()]
        cls = declare_params_class(
            self._title, self._base, [hyper for hyper in declared if hyper is not None]
        )
        found = list(self._settings.values())
        made = [self._make(cls, one) for one in found]
        unconfirmed = [
            number
            for number, (one, params) in enumerate(zip(found, made, strict=True))
            if (params.param_hash, params.data_hash) != (one.param_hash, one.data_hash)
        ]
        if unconfirmed:
            with_hashes = derive_with_hashes(self._title, cls)
            for number in unconfirmed:
                kept = with_hashes.from_dict(made[number].to_dict())
                assert isinstance(kept, HashesOnDisk)
                kept.keep_hashes(found[number].param_hash, found[number].data_hash)
                made[number] = kept
        return made, [found[number].param_hash for number in unconfirmed]

    def _names_unknown(self) -> list[str]:
        defaults = [name for one in self._settings.values() for name in one.default_texts]
        return list(dict.fromkeys([*self._unknown, *defaults]))

    def _declare(self, name: str) -> HyperParam | None:
        settings = self._settings.values()
        texts = {one.default_texts[name]: None for one in settings if name in one.default_texts}
        values = [one.values[name] for one in settings if name in one.values]
        hyper = self._unknown.get(name) or options_of_unknown(name, next(iter(texts)))[0][0]
        defaults = [value for text in texts for value in values_of_text(hyper, text)[:1]]
        try:
            default = defaults[0] if defaults else other_than(values, hyper)
        except ConfigError:
            return None
        if len(texts) > 1 and name not in self._unknown:
            # It has several values that all count as defaults: a property that nothing hashes.
            hyper = replace(hyper, in_param_hash=False)
            for one in settings:
                for value in values_of_text(hyper, one.default_texts.get(name, ""))[:1]:
                    one.values[name] = value
        in_data_hash = hyper.in_data_hash and hyper.in_param_hash
        return replace(hyper, default=default, in_data_hash=in_data_hash)

    def _make(self, cls: type[RunParams], found: _Found) -> RunParams:
        params = cls(version=self._version)
        self._assign(params, {"name": found.name, **found.values})
        found.data_hash = found.data_hash or params.data_hash
        twin = self._proven_data.get(found.data_hash, found)
        if params.data_hash != found.data_hash and twin is not found:
            # Both were prepared into one folder, so what made their data was the same.
            for hyper in params.hyperparams():
                if self._is_in_data_hash(hyper):
                    self._assign(params, {hyper.name: twin.values.get(hyper.name, hyper.default)})
        return params

    def _assign(self, params: RunParams, values: Mapping[str, Any]) -> None:
        known = {hyper.name for hyper in params.hyperparams()}
        for name, value in values.items():
            if name in known:
                with suppress(ConfigError):  # the hash then does not come out, which is told
                    setattr(params, name, value)


def _converted(hyper: HyperParam, option: Any) -> list[Any]:
    try:
        return [hyper.convert(option)]
    except ConfigError:
        return []


class _Default:
    """Stands for a default that is not known."""


_DEFAULT = _Default()
