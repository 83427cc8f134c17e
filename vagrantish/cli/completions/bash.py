"""The completion script for bash; 3.2, as macOS has it, is enough."""

from __future__ import annotations

import shlex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vagrantish.cli.completions.grammar import Verb

_ENGINE = r"""# vx completion for bash. To use it: source <(vx completion bash)

# Sets what may stand after verb $1: verbs, options, options with the kind of their value,
# and the kinds of the arguments.
_vx_table() {
    verbs= options= valued= arguments=
    case $1 in
@TABLE@
    esac
}

# The words of kind $1 that may complete $2, one a line.
_vx_words() {
    case $1 in
        machines | boxes | keys)
            compgen -W "$(vx ${where[@]+"${where[@]}"} completion --names "$1" 2>/dev/null)" -- "$2" ;;
        files) compgen -f -- "$2" ;;
        dirs) compgen -d -- "$2" ;;
        words:*) local words=${1#words:}; compgen -W "${words//,/ }" -- "$2" ;;
    esac
}

_vx() {
    local verbs options valued arguments
    local word piece rest=$COMP_LINE verb= place=0 pending= lead= kind i
    local -a line=() where=() kinds=()
    COMPREPLY=()

    # Put together again what COMP_WORDBREAKS took apart: --color=never, micro@1.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        piece=${COMP_WORDS[i]}
        if [[ -n $piece && ${#line[@]} -gt 0 && $rest == "$piece"* ]]; then
            line[${#line[@]}-1]+=$piece
        else
            line+=("$piece")
            rest=${rest#"${rest%%[![:space:]]*}"}
        fi
        rest=${rest#"$piece"}
    done

    _vx_table ""
    for ((i = 1; i < ${#line[@]} - 1; i++)); do
        word=${line[i]}
        if [[ -n $pending ]]; then
            word=${word//[\"\'\\]/}
            case $pending in
                -C | --directory | -f | --file) where+=("$pending" "${word/#\~\//$HOME/}") ;;
            esac
            pending=
        elif [[ $word == -- ]]; then
            compopt -o default 2>/dev/null
            return
        elif [[ $word == -* ]]; then
            [[ " $valued " == *" $word="* ]] && pending=$word
        elif [[ " $verbs " == *" $word "* ]]; then
            verb=${verb:+$verb }$word
            _vx_table "$verb"
        else
            place=$((place + 1))
        fi
    done

    word=${line[${#line[@]}-1]}
    rest=$word
    if [[ -z $pending && $word == --*=* ]]; then
        pending=${word%%=*}
        lead=$pending=
        word=${word#*=}
    fi
    if [[ -n $pending ]]; then
        kind=" $valued "
        [[ $kind == *" $pending="* ]] || return
        kind=${kind#*" $pending="}
        kind=${kind%% *}
    elif [[ $word == -* ]]; then
        kind=words:${options// /,}
    elif [[ -n $verbs ]]; then
        kind=words:${verbs// /,}
    else
        kinds=($arguments)
        kind=${kinds[place]}
        if [[ -z $kind && ${#kinds[@]} -gt 0 && ${kinds[${#kinds[@]}-1]} == *\* ]]; then
            kind=${kinds[${#kinds[@]}-1]}
        fi
        kind=${kind%\*}
    fi
    [[ $kind == files || $kind == dirs ]] && compopt -o filenames 2>/dev/null

    # bash replaces only what follows the last break, and a break that is an @ with it:
    # leave out what stands before that.
    piece=${COMP_WORDS[COMP_CWORD]}
    [[ $piece == [=:] ]] && piece=
    rest=${rest%"$piece"}
    rest=${rest%@}
    while IFS= read -r piece; do
        piece=$lead$piece
        COMPREPLY+=("${piece#"$rest"}")
    done < <(_vx_words "$kind" "$word")
}

complete -F _vx vx
"""


def script(verbs: Iterable[Verb]) -> str:
    return _ENGINE.replace("@TABLE@", "\n".join(_rows(verbs)))


def _rows(verbs: Iterable[Verb]) -> Iterator[str]:
    for verb in verbs:
        options = [flag for option in verb.options for flag in option.flags]
        valued = [
            f"{flag}={option.kind}"
            for option in verb.options
            if option.kind is not None
            for flag in option.flags
        ]
        yield f"        {shlex.quote(verb.name)})"
        yield f"            verbs={shlex.quote(' '.join(name for name, _ in verb.verbs))}"
        yield f"            options={shlex.quote(' '.join(options))}"
        yield f"            valued={shlex.quote(' '.join(valued))}"
        yield f"            arguments={shlex.quote(' '.join(kind or '-' for kind in verb.arguments))} ;;"
