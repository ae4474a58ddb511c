# Completion of waybill for fish. It asks waybill, and waybill asks the service of the context for ids.
function __waybill_complete
    set --local words (commandline --current-process --tokenize --cut-at-cursor)
    set --append words (commandline --current-token --cut-at-cursor)
    command $words[1] complete -- $words 2>/dev/null </dev/null
end
complete --command waybill --no-files --keep-order --arguments '(__waybill_complete)'
