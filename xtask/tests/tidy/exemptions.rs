//! Exemptions from a rule: they stand beside it by name, and go when nothing needs them any more.

use std::collections::BTreeMap;

/// What breaks a rule, by who breaks it.
pub type Broken = BTreeMap<String, Vec<String>>;

/// What those break who are not `exempt`, and the exemptions that nobody needs.
pub fn unexempted(broken: &Broken, exempt: &[&str]) -> Vec<String> {
    let breaks = |who: &str| broken.get(who).is_some_and(|violations| !violations.is_empty());
    let not_exempt = broken.iter().filter(|(who, _)| !exempt.contains(&who.as_str()));
    let violations =
        not_exempt.flat_map(|(who, violations)| violations.iter().map(move |wrong| format!("{who}: {wrong}")));
    let unneeded = exempt.iter().filter(|who| !breaks(who));
    violations.chain(unneeded.map(|who| format!("{who}: needs no exemption any more; take it out"))).collect()
}

#[test]
fn an_exemption_holds_as_long_as_it_is_needed() {
    let broken = Broken::from([("data".into(), vec!["is long".into()]), ("torch".into(), vec![])]);
    assert_eq!(unexempted(&broken, &[]), ["data: is long"]);
    assert!(unexempted(&broken, &["data"]).is_empty());
    assert!(unexempted(&broken, &["data", "torch"])[0].contains("torch: needs no exemption"));
    assert!(unexempted(&broken, &["data", "gone"])[0].contains("gone: needs no exemption"));
}
