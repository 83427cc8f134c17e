"""The completion script for fish."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vagrantish.cli.completions.grammar import Option, Verb

_ENGINE = r"""# vx completion for fish. To use it: vx completion fish | source,
# or keep it as ~/.config/fish/completions/vx.fish

# Options of a verb that take the next word for their value.
function __vx_valued
    switch "$argv[1]"
@VALUED@
    end
end

function __vx_verbs
    switch "$argv[1]"
@VERBS@
    end
end

# Prints the verb the command line has come to, then how many arguments it has,
# then the options that say where the project is.
function __vx_state
    set -l verb ''
    set -l place 0
    set -l pending ''
    set -l where
    for word in (commandline -opc)[2..-1]
        if test -n "$pending"
            contains -- $pending -C --directory -f --file; and set -a where $pending $word
            set pending ''
        else if string match -q -- '-*' $word
            contains -- $word (__vx_valued "$verb"); and set pending $word
        else if contains -- $word (__vx_verbs "$verb")
            set verb (string trim -- "$verb $word")
        else
            set place (math $place + 1)
        end
    end
    printf '%s\n' "$verb" $place $where
end

# Whether the verb is $argv[1] and, if given, the place of the argument $argv[2] ("2+": or later).
function __vx_at
    set -l state (__vx_state)
    test "$state[1]" = "$argv[1]"; or return
    set -q argv[2]; or return 0
    if string match -q -- '*+' $argv[2]
        test $state[2] -ge (string trim -r -c + -- $argv[2])
    else
        test $state[2] -eq $argv[2]
    end
end

function __vx_names
    set -l state (__vx_state)
    command vx $state[3..-1] completion --names $argv[1] 2>/dev/null
end

complete -c vx -e
complete -c vx -f
"""


def script(verbs: Iterable[Verb]) -> str:
    known = tuple(verbs)
    valued = {
        verb.name: [f for o in verb.options if o.kind is not None for f in o.flags]
        for verb in known
    }
    following = {verb.name: [name for name, _ in verb.verbs] for verb in known}
    engine = _ENGINE.replace("@VALUED@", _cases(valued)).replace("@VERBS@", _cases(following))
    return engine + "\n".join(line for verb in known for line in _lines(verb)) + "\n"


def _cases(words: dict[str, list[str]]) -> str:
    return "\n".join(
        f"        case {_quoted(name)}\n            printf '%s\\n' {' '.join(found)}"
        for name, found in words.items()
        if found
    )


def _lines(verb: Verb) -> Iterator[str]:
    here = f"complete -c vx -n {_quoted(f'__vx_at {_quoted(verb.name)}')}"
    for name, summary in verb.verbs:
        yield f"{here} -a {name} -d {_quoted(summary)}"
    for option in verb.options:
        yield f"{here} {_option(option)}"
    for place, kind in enumerate(verb.arguments):
        position = f"{place}+" if kind.endswith("*") else str(place)
        offered = _offered(kind.removesuffix("*"))
        if offered:
            condition = _quoted(f"__vx_at {_quoted(verb.name)} {position}")
            yield f"complete -c vx -n {condition} {offered}"


def _option(option: Option) -> str:
    parts = [
        f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags
    ]
    if option.kind is not None:
        parts += ["-x", _offered(option.kind)] if option.kind != "files" else ["-r", "-F"]
    return " ".join([*filter(None, parts), "-d", _quoted(option.help)])


def _offered(kind: str) -> str:
    if kind in ("machines", "boxes", "keys"):
        return f"-a '(__vx_names {kind})'"
    if kind.startswith("words:"):
        return f"-a {_quoted(kind.removeprefix('words:').replace(',', ' '))}"
    return {"files": "-F", "dirs": "-a '(__fish_complete_directories)'"}.get(kind, "")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
