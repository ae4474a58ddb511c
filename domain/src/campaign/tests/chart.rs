//! The effect of each command in each status, as a chart, and the document that shows it.

use super::*;

/// Every command under the name it has in the table.
fn commands() -> Vec<(&'static str, C)> {
    // An approval that was asked for stays required.
    let changed = CampaignSpec { requires_approval: true, ..spec(&[50, 100]) };
    let amended = C::Amend { spec: Box::new(changed), by: person(2).into() };
    vec![
        ("create", create()),
        ("amend", amended),
        ("adjust", adjust(|changes| changes.max_concurrent_updates = Some(7))),
        ("delete", C::Delete),
        ("start", start()),
        ("start_now", start_now()),
        ("approve", approve()),
        ("reject", reject()),
        ("record_plan", record_plan()),
        ("refuse_plan", C::RefusePlan { summary: Box::new(summary(&[1, 9])) }),
        ("complete_staging", C::CompleteStaging { evidence: Evidence::default() }),
        ("pass_gate", pass(1)),
        ("break_soak", C::BreakSoak { wave: 1, evidence: Evidence::default() }),
        ("complete_wave", complete(1)),
        ("open_wave", open(2)),
        ("close_gate", close_gate()),
        ("pause", pause()),
        ("resume", resume(false)),
        ("retry", C::Retry),
        ("cancel", C::Cancel),
        ("finish_cancel", C::FinishCancel),
        ("roll_back", roll_back()),
        ("finish_rollback", finish_rollback()),
        ("finish", finish(CampaignResult::Completed)),
    ]
}

/// Rows in the order of [`commands`], columns in the order of [`CampaignStatus::all`]; `-` is `illegal_in_state`.
const CHART: &str = "
create          created           =                !campaign_exists !campaign_exists !campaign_exists   !campaign_exists  !campaign_exists =                           =                  =            =            =            =           =            =            =            =
amend           !campaign_unknown amended          amended          amended          amended            !campaign_unknown amended          -                           -                  -            -            -            -           -            -            -            -
adjust          !campaign_unknown -                -                -                -                  !campaign_unknown -                -                           adjusted           adjusted     -            -            adjusted    -            -            -            -
delete          !campaign_unknown deleted          deleted          deleted          deleted            !campaign_unknown -                -                           -                  -            -            -            -           -            -            -            -
start           !campaign_unknown planning_started =                planning_started approval_requested !campaign_unknown =                =                           -                  -            -            -            -           -            -            -            -
start_now       !campaign_unknown planning_started =                planning_started approval_requested !campaign_unknown planning_started =                           -                  -            -            -            -           -            -            -            -
approve         !campaign_unknown -                approved         =                -                  !campaign_unknown -                -                           -                  -            -            -            -           -            -            -            -
reject          !campaign_unknown -                rejected         rejected         =                  !campaign_unknown -                -                           -                  -            -            -            -           -            -            -            -
record_plan     !campaign_unknown !plan_mismatch   !plan_mismatch   !plan_mismatch   !plan_mismatch     !campaign_unknown !plan_mismatch   planned+started+wave_opened =                  =            =            =            =           =            =            =            =
refuse_plan     !campaign_unknown !plan_mismatch   !plan_mismatch   !plan_mismatch   !plan_mismatch     !campaign_unknown !plan_mismatch   plan_refused                !plan_mismatch     !plan_mismatch !plan_mismatch !plan_mismatch !plan_mismatch !plan_mismatch !plan_mismatch !plan_mismatch !plan_mismatch
complete_staging !campaign_unknown -               -                -                -                  !campaign_unknown -                -                           staged+wave_opened -            -            -            -           -            -            -            -
pass_gate       !campaign_unknown -                -                -                -                  !campaign_unknown -                -                           gate_passed        -            -            -            -           -            -            -            -
break_soak      !campaign_unknown -                -                -                -                  !campaign_unknown -                -                           =                  -            -            -            -           -            -            -            -
complete_wave   !campaign_unknown -                -                -                -                  !campaign_unknown -                -                           =                  -            -            -            -           -            -            -            -
open_wave       !campaign_unknown -                -                -                -                  !campaign_unknown -                -                           !wave_not_due      -            -            -            -           -            -            -            -
close_gate      !campaign_unknown -                -                -                -                  !campaign_unknown -                -                           gate_closed+paused =            -            -            =           -            -            -            -
pause           !campaign_unknown -                -                -                -                  !campaign_unknown paused           paused                      paused             =            -            -            paused      -            -            -            -
resume          !campaign_unknown -                -                -                -                  !campaign_unknown -                -                           =                  resumed      -            -            =           -            -            -            -
retry           !campaign_unknown -                -                -                -                  !campaign_unknown -                -                           retried            retried      -            -            -           -            -            retried      retried
cancel          !campaign_unknown cancelled        cancelled        cancelled        cancelled          !campaign_unknown cancelled        cancelling                  cancelling         cancelling   =            =            cancelling  -            -            -            -
finish_cancel   !campaign_unknown -                -                -                -                  !campaign_unknown -                -                           -                  -            cancelled    =            -           -            -            -            -
roll_back       !campaign_unknown -                -                -                -                  !campaign_unknown -                -                           rolling_back       rolling_back rolling_back rolling_back =           rolling_back rolling_back rolling_back rolling_back
finish_rollback !campaign_unknown -                -                -                -                  !campaign_unknown -                -                           -                  -            -            -            rolled_back =            -            -            -
finish          !campaign_unknown -                -                -                -                  !campaign_unknown finished         -                           finished           finished     -            -            -           -            -            -            -
";

/// The way to a status of a campaign that the command is meant for.
fn past(name: &str, status: S) -> Vec<C> {
    match name {
        "refuse_plan" => expected::way_to(status),
        "complete_staging" => staging(status),
        _ => way_to(status),
    }
}

#[test]
fn each_command_has_the_effect_in_the_chart_in_each_status() {
    let rows: Vec<Vec<&str>> = CHART.trim().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), commands().len());
    for (row, (name, command)) in rows.iter().zip(commands()) {
        assert_eq!((row[0], row.len()), (name, 1 + S::all().count()));
        for (cell, status) in row[1..].iter().zip(S::all()) {
            let effect = cell.replace('+', " ");
            let effect = if effect == "-" { "!illegal_in_state" } else { &effect };
            assert_eq!(answer(&past(name, status), command.clone()), effect, "{name} while {status:?}");
        }
    }
}

#[test]
fn the_allowed_commands_are_those_that_change_something() {
    for status in S::all() {
        for (name, command) in commands() {
            let Some(operator) = OperatorCommand::from_word(name) else { continue };
            let past = if name == "open_wave" { at_manual_gate(status) } else { way_to(status) };
            let effect = answer(&past, command);
            let changes = !effect.starts_with(['=', '!']);
            let campaign = folded(&past);
            let allowed = status.allowed_commands(campaign.summary.is_some(), campaign.is_rolling_back());
            assert_eq!(allowed.contains(&operator), changes, "{name} while {status:?}");
            let refused = status.refused_commands(campaign.summary.is_some(), campaign.is_rolling_back());
            let why = refused.iter().find(|(command, _)| *command == operator).map(|(_, why)| why.code);
            let expected = if effect == "=" { "changes_nothing" } else { "illegal_in_state" };
            assert_eq!(why, (!changes).then_some(expected), "{name} while {status:?}");
        }
    }
    use OperatorCommand as O;
    assert_eq!(S::Paused.allowed_commands(false, false), [O::Resume, O::Cancel], "paused before its plan");
    assert_eq!(S::Paused.allowed_commands(true, true), [O::Adjust, O::Resume, O::Cancel], "paused while it goes back");
    let why = |planned, goes_back| S::Paused.refused_commands(planned, goes_back).pop().unwrap().1.detail;
    assert_eq!(why(false, false), "a campaign that is paused without a plan can't be rolled back");
    assert_eq!(why(true, true), "a campaign that is paused while its devices go back can't be rolled back");
}

#[test]
fn the_setup_commands_of_each_status_lead_to_it() {
    for status in S::all() {
        let mut campaign = Campaign::default();
        events_of(&way_to(status)).iter().for_each(|event| campaign.apply(event));
        assert_eq!(campaign.status, status);
    }
}

fn states_document() -> String {
    let mut text = String::from(
        "# What can be asked of a campaign in each state\n\nGenerated from `domain`; `WAYBILL_REGENERATE=1 cargo test -p domain` \
         regenerates it. *already*: the command\nchanges nothing, because the campaign is in that state already. An empty cell: the command is \
         refused. The second table\nhas the commands of the process managers.\n",
    );
    let operators: Vec<&str> = OperatorCommand::all().map(OperatorCommand::word).collect();
    for of_operators in [true, false] {
        let (rows, title): (Vec<_>, _) = match of_operators {
            true => (commands().into_iter().filter(|(name, _)| operators.contains(name)).collect(), "Operators"),
            false => (
                commands().into_iter().skip(1).filter(|(name, _)| !operators.contains(name)).collect(),
                "Process managers",
            ),
        };
        text.push_str(&format!("\n## {title}\n\n| state |"));
        rows.iter().for_each(|(name, _)| text.push_str(&format!(" {name} |")));
        text.push_str(&format!("\n|---|{}\n", "---|".repeat(rows.len())));
        for status in S::all().filter(|status| !matches!(status, S::Absent | S::Deleted)) {
            text.push_str(&format!("| `{}` |", status.word()));
            for (name, command) in &rows {
                let past = if *name == "open_wave" { at_manual_gate(status) } else { past(name, status) };
                text.push_str(&format!(" {} |", cell(&answer(&past, command.clone()))));
            }
            text.push('\n');
        }
    }
    text.push_str(
        "\nShown is a campaign whose approval, if it is required, is missing, and whose `scheduled_start`, if it has one, is ahead. `start` of \
         a draft with `requires_approval` asks for the approval, and with a `scheduled_start` schedules the campaign; `start_now` is `start` \
         with `now: true`. Approving a campaign with a `scheduled_start` also schedules it. A campaign paused while it was scheduled goes \
         back to `scheduled`, and a cancel ends it at once.\n\nA plan is refused if a start named another plan and `on_drift: refuse`; then \
         the plan is not recorded.\n\nOpening a wave is shown for a campaign whose wave is completed and waits for an operator, and the end of the staging for one with blue/green. A campaign that a gate paused \
         is resumed only with `accept_failures`.\n",
    );
    text
}

fn cell(answer: &str) -> String {
    match answer {
        "=" => "already".into(),
        refused if refused.starts_with('!') => String::new(),
        events => events.split(' ').map(|event| format!("`{event}`")).collect::<Vec<_>>().join(" "),
    }
}

#[test]
fn the_table_of_states_is_up_to_date() {
    check_document("docs/campaign-states.md", &states_document());
}
