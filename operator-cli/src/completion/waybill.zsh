#compdef waybill
# Completion of waybill for zsh. It asks waybill, and waybill asks the service of the context for ids.
_waybill() {
    local line value tab=$'\t'
    local -a found directories
    for line in "${(@f)$("${words[1]}" complete -- "${(@)words[1,CURRENT]}" 2>/dev/null </dev/null)}"; do
        value=${line%%$tab*}
        [[ -z $value ]] && continue
        if [[ $value == */ ]]; then
            directories+=("$value")
        else
            found+=("${value//:/\\:}:${line#*$tab}")
        fi
    done
    (( ${#directories} )) && compadd -S '' -- "${directories[@]}"
    (( ${#found} )) && _describe -V waybill found
}
if [[ ${funcstack[1]} == _waybill ]]; then
    _waybill "$@"
else
    compdef _waybill waybill
fi
