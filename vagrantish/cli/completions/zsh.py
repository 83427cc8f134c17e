"""The completion script for zsh: to be sourced, or kept as ``_vx`` in a folder of ``fpath``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vagrantish.cli.completions.grammar import Verb

_ENGINE = r"""#compdef vx
# vx completion for zsh. To use it: source <(vx completion zsh), after compinit,
# or keep it as a file _vx in a folder of $fpath.

# Sets what may stand after verb $1: verbs and options with what they do,
# options with the kind of their value, and the kinds of the arguments.
_vx_table() {
    verbs=() options=() valued=() arguments=()
    case $1 in
@TABLE@
    esac
}

_vx_offer() {
    local -a found
    case $1 in
        machines | boxes | keys)
            found=(${(f)"$(command vx $where completion --names $1 2>/dev/null)"})
            compadd -a found ;;
        files) _files ;;
        dirs) _files -/ ;;
        words:*) found=(${(s:,:)1#words:}); compadd -a found ;;
        *) return 1 ;;
    esac
}

_vx() {
    local word verb= pending= kind
    integer place=0 i
    local -a verbs options where arguments
    local -A valued
    _vx_table ""
    for ((i = 2; i < CURRENT; i++)); do
        word=${(Q)words[i]}
        if [[ -n $pending ]]; then
            case $pending in
                -C | --directory | -f | --file) where+=($pending ${word/#\~\//$HOME/}) ;;
            esac
            pending=
        elif [[ $word == -- ]]; then
            _default
            return
        elif [[ $word == -* ]]; then
            (( ${+valued[$word]} )) && pending=$word
        elif (( ${verbs[(I)$word:*]} )); then
            verb=${verb:+$verb }$word
            _vx_table $verb
        else
            place+=1
        fi
    done

    if [[ -n $pending ]]; then
        _vx_offer ${valued[$pending]}
    elif [[ $PREFIX == --*=* ]]; then
        word=${PREFIX%%=*}
        compset -P '*='
        _vx_offer ${valued[$word]}
    elif [[ $PREFIX == -* ]]; then
        _describe -o option options
    elif (( $#verbs )); then
        _describe command verbs
    else
        kind=${arguments[place + 1]}
        [[ -z $kind && ${arguments[-1]} == *\* ]] && kind=${arguments[-1]}
        _vx_offer ${kind%\*}
    fi
}

if [[ $funcstack[1] == _vx ]]; then
    _vx "$@"
else
    compdef _vx vx
fi
"""


def script(verbs: Iterable[Verb]) -> str:
    return _ENGINE.replace("@TABLE@", "\n".join(_rows(verbs)))


def _rows(verbs: Iterable[Verb]) -> Iterator[str]:
    for verb in verbs:
        options = [(flag, option.help) for option in verb.options for flag in option.flags]
        valued = [
            f"{_quoted(flag)} {_quoted(option.kind)}"
            for option in verb.options
            if option.kind is not None
            for flag in option.flags
        ]
        yield f"        {_quoted(verb.name)})"
        yield f"            verbs=({' '.join(_described(*entry) for entry in verb.verbs)})"
        yield f"            options=({' '.join(_described(*entry) for entry in options)})"
        yield f"            valued=({' '.join(valued)})"
        yield f"            arguments=({' '.join(_quoted(kind or '-') for kind in verb.arguments)}) ;;"


def _described(word: str, text: str) -> str:
    return _quoted(f"{word}:{text}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
