//! What a campaign that a gate has stopped says about itself: the gates, other settings, and the commands that aren't allowed.

use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

/// The result that closed a gate is listed with what it measured, and the devices that it names can be looked at.
pub(super) async fn check_gates(api: &ApiClient, id: &str, event: &Value) {
    let gates = api.get(&format!("/campaigns/{id}/gates")).await.unwrap();
    let judged = gates["items"].as_array().unwrap().last().unwrap();
    let (failed, settled) = (&event["evidence"]["failed"], &event["evidence"]["settled"]);
    let words = (&judged["gate"], &judged["verdict"], &judged["bound"], &judged["limit_percent"]);
    assert_eq!(words, (&json!("failure"), &json!("closed"), &json!("at_most"), &json!(20)), "{gates}");
    assert_eq!((&judged["failed"], &judged["settled"]), (failed, settled), "{gates}");
    let share = failed.as_u64().unwrap() * 100 / settled.as_u64().unwrap();
    assert_eq!(judged["measured_percent"], json!(share), "{gates}");
    assert!(
        gates["now"].as_array().unwrap().iter().any(|now| now["verdict"] == "closed"),
        "it is still closed: {gates}"
    );
    let device = judged["devices"][0].as_str().unwrap();
    let member = api.get(&format!("/campaigns/{id}/devices/{device}")).await.unwrap();
    assert_eq!((&member["device_id"], &member["code"]), (&json!(device), &json!("install_failed")), "{member}");
    let update = api.get(&format!("/updates/{}", member["update_id"].as_str().unwrap())).await.unwrap();
    let allowed = if update["ended_at"].is_null() { json!(["cancel"]) } else { json!(["retry"]) };
    assert_eq!(update["allowed_commands"], allowed, "{update}");
    let unknown = api.send(Method::GET, &format!("/campaigns/{id}/devices/nobody"), None).await.unwrap();
    assert_eq!(unknown.status, 404, "{}", unknown.body);
}

/// A count of one would have stopped it earlier, a limit of 100 % not at all; its own settings stop it where they did.
pub(super) async fn check_what_if(api: &ApiClient, id: &str) {
    let path = format!("/campaigns/{id}/what-if");
    let ask = async |settings: Value| api.post(&path, &settings).await.unwrap();
    let strict = ask(json!({"gates": {"failure_count": 1}})).await;
    let (would, did) = (&strict["would_stop"], &strict["stopped"]);
    assert_eq!((&would["gate"], &would["failed"]), (&json!("failure"), &json!(1)), "{strict}");
    assert!(did["failed"].as_u64() >= Some(4), "{strict}");
    assert!(would["devices_reached"].as_u64() <= did["devices_reached"].as_u64(), "{strict}");
    let loose = ask(json!({"gates": {"failure_threshold_percent": 100}})).await;
    assert_eq!(loose["would_stop"], Value::Null, "{loose}");
    assert!(loose["course"]["unknown_devices"].as_u64() >= Some(36), "the other waves never began: {loose}");
    let unchanged = ask(json!({})).await;
    for field in ["gate", "wave", "failed", "settled", "judged_at_position", "devices_reached"] {
        assert_eq!(unchanged["would_stop"][field], unchanged["stopped"][field], "{field}: {unchanged}");
    }
    assert_eq!(unchanged["devices_spared"], json!(0), "{unchanged}");

    // Each device of the first wave has failed at least once, so both bounds stop at the fourth.
    let slow = ask(json!({"concurrency": 1})).await;
    for bound in ["if_unknown_confirm", "if_unknown_fail"] {
        let course = &slow["course"][bound];
        assert_eq!((&course["outcome"], &course["gate"]["gate"]), (&json!("stopped"), &json!("failure")), "{slow}");
        assert_eq!((&course["devices_begun"], &course["gate"]["measured_percent"]), (&json!(4), &json!(100)), "{slow}");
    }
    assert!(slow.get("would_stop").is_none() && slow.get("devices_spared").is_none(), "{slow}");
    let at_once = ask(json!({"waves": [{"percentage": 100}], "concurrency": 40})).await;
    let (best, worst) = (&at_once["course"]["if_unknown_confirm"], &at_once["course"]["if_unknown_fail"]);
    assert_eq!(best["devices_begun"], json!(40), "one wave begins with all: {at_once}");
    assert!(best["failed"].as_u64() <= worst["failed"].as_u64(), "{at_once}");
    assert_eq!(worst["outcome"], "stopped", "{at_once}");

    for (settings, field) in [
        (json!({"gates": {"failure_count": 0}}), "gates.failure_count"),
        (json!({"concurrency": 0}), "concurrency"),
        (json!({"waves": [{"percentage": 50}]}), "waves"),
    ] {
        let refused = api.send(Method::POST, &path, Some(&settings)).await.unwrap();
        assert_eq!(refused.status, 422, "{}", refused.body);
        assert!(refused.body["errors"][0]["field"].as_str().unwrap().starts_with(field), "{}", refused.body);
    }
}

/// `why_not` has the commands that aren't allowed, each with the answer that it gets.
pub(super) async fn check_why_not(api: &ApiClient, id: &str) {
    let shown = api.get(&format!("/campaigns/{id}")).await.unwrap();
    let why_not = shown["why_not"].as_object().unwrap();
    let allowed = shown["allowed_commands"].as_array().unwrap();
    assert!(!allowed.is_empty() && allowed.iter().all(|command| !why_not.contains_key(command.as_str().unwrap())));
    for command in ["start", "pause", "approve", "rollback"] {
        let Some(reason) = why_not.get(command) else { continue };
        let path = format!("/campaigns/{id}/{command}");
        let refused = api.send(Method::POST, &path, Some(&json!({"reason": "to see it refused"}))).await.unwrap();
        if reason["code"] == "changes_nothing" {
            assert_eq!((refused.status.as_u16(), &refused.body["version"]), (200, &shown["version"]), "{command}");
            continue;
        }
        assert_eq!(refused.status, 409, "{command}: {}", refused.body);
        let of_problem = refused.body["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        assert_eq!((&reason["code"], &reason["detail"]), (&json!(of_problem), &refused.body["detail"]), "{command}");
    }
    let codes = [&why_not["start"]["code"], &why_not["pause"]["code"]];
    assert_eq!(codes, [&json!("illegal_in_state"), &json!("changes_nothing")], "{shown}");
}
