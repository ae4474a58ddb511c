# Completion of waybill for bash. It asks waybill, and waybill asks the service of the context for ids.
_waybill() {
    local rest=${COMP_LINE:0:COMP_POINT} word line value
    local words=()
    # bash cuts words at = and :, which ids and flags have.
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ ${#words[@]} -eq 0 || $rest == [[:blank:]]* ]]; then
            words+=("$word")
        else
            words[${#words[@]} - 1]+=$word
        fi
        rest=${rest#*"$word"}
    done
    local last=${words[${#words[@]} - 1]}
    local before=${last%"$2"}
    COMPREPLY=()
    while IFS= read -r line; do
        value=${line%%$'\t'*}
        [[ -n $value ]] && COMPREPLY+=("${value#"$before"}")
    done < <("$1" complete -- "${words[@]}" 2>/dev/null </dev/null)
    # A directory goes on.
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F _waybill waybill
