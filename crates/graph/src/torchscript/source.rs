//! The source text of the module's methods.

use std::fmt::Write;

use super::expression::expression;
use crate::facts::Facts;
use crate::graph::{Graph, Value};
use crate::op::Op;
use crate::tokenizer::{IMAGES, TokenizerGraph};

/// All methods.
pub(super) fn of(tokenizer: &TokenizerGraph) -> String {
    let facts = tokenizer.facts();
    let levels: Vec<_> = (0..facts.levels()).map(|level| facts.indices(level)).collect();
    let arguments: Vec<_> = levels.iter().map(|level| format!("{level}: Tensor")).collect();
    let tensors = vec!["Tensor"; levels.len()].join(", ");
    let indices = if facts.is_single() { "Tensor".to_owned() } else { format!("Tuple[{tensors}]") };
    let mut source = String::new();
    let _ = writeln!(source, "def encode(self, {IMAGES}: Tensor) -> {indices}:");
    check(&mut source, facts);
    let results = body(&mut source, tokenizer.encode(), IMAGES);
    let returned = if facts.is_single() { results.join(", ") } else { format!("({},)", results.join(", ")) };
    let _ = writeln!(source, "    return {returned}");
    let _ = writeln!(source, "def decode(self, {}) -> Tensor:", arguments.join(", "));
    let results = body(&mut source, tokenizer.decode(), &levels[0]);
    let _ = writeln!(source, "    return {}", results.join(", "));
    let _ = writeln!(source, "def forward(self, {IMAGES}: Tensor) -> Tensor:");
    let returned = if facts.is_single() {
        format!("self.decode(self.encode({IMAGES}))")
    } else {
        let _ = writeln!(source, "    {}, = self.encode({IMAGES})", levels.join(", "));
        format!("self.decode({})", levels.join(", "))
    };
    let _ = writeln!(source, "    return {returned}");
    source
}

/// An assertion that the downsampling divides the sides.
fn check(source: &mut String, facts: &Facts) {
    let factor = facts.downsampling();
    let message = format!("the tokenizer reduces both sides by {factor}, so both must be multiples of {factor}");
    for side in [2, 3] {
        let _ = writeln!(source, "    assert {IMAGES}.size({side}) % {factor} == 0, \"{message}\"");
    }
}

/// A line for every operation; gives the variables of the results.
fn body(source: &mut String, graph: &Graph, device_of: &str) -> Vec<String> {
    let variable = |value: &Value| match &graph.nodes()[value.index()].op {
        Op::Input(name) => name.clone(),
        _ => format!("v{}", value.index()),
    };
    for (index, node) in graph.nodes().iter().enumerate().filter(|(_, node)| !matches!(node.op, Op::Input(_))) {
        let inputs: Vec<_> = node.inputs.iter().map(variable).collect();
        let _ = writeln!(source, "    v{index} = {}", expression(&node.op, &inputs, device_of));
    }
    graph.outputs().iter().map(|(_, value)| variable(value)).collect()
}
