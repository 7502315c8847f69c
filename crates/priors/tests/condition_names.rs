//! What a prior says of the variables that read its conditions is true of the variables that it has.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use tch::{Device, nn::VarStore};
use vqkit_priors::{
    BuildPrior, GatedPixelCnnConfig, Gpt2Config, GridSpec, LlamaConfig, PixelSnailConfig, PriorSpec, Vocabulary,
};

fn members() -> Vec<(&'static str, Box<dyn BuildPrior>)> {
    let with = |text: &str| -> serde_json::Value { serde_json::from_str(text).unwrap() };
    let pixelcnn: GatedPixelCnnConfig =
        serde_json::from_value(with(r#"{"dim": 8, "num_layers": 2, "class_dropout": 0.1}"#)).unwrap();
    let pixelsnail: PixelSnailConfig = serde_json::from_value(with(
        r#"{"channel": 8, "kernel_size": 3, "n_block": 1, "n_res_block": 1, "res_channel": 8, "n_head": 1,
            "n_cond_res_block": 1, "cond_res_channel": 8, "class_dropout": 0.1}"#,
    ))
    .unwrap();
    vec![
        ("gpt2", Box::new(Gpt2Config { condition_dropout: 0.1, ..Gpt2Config::new(1, 2, 8) })),
        ("llama", Box::new(LlamaConfig { condition_dropout: 0.1, ..LlamaConfig::new(1, 2, 8) })),
        ("pixelcnn", Box::new(pixelcnn)),
        ("pixelsnail", Box::new(pixelsnail)),
    ]
}

fn variables(member: &dyn BuildPrior, spec: &PriorSpec) -> Vec<(String, Vec<i64>)> {
    let vs = VarStore::new(Device::Cpu);
    let _prior = member.build_boxed(&vs.root(), spec).unwrap();
    vs.variables().into_iter().map(|(name, tensor)| (name, tensor.size())).collect()
}

fn conditioned() -> PriorSpec {
    PriorSpec::new(vec![16], [4, 4]).with_classes(5).with_condition_grid(GridSpec { sizes: vec![6], grid: [2, 2] })
}

#[test]
fn tables_of_classes_have_a_row_for_each_class_and_the_null_class() {
    for (kind, member) in members() {
        let names = member.condition_names();
        let variables = variables(member.as_ref(), &conditioned());
        let tables: Vec<_> = variables.iter().filter(|(name, _)| names.is_class_table(name)).collect();
        assert!(!tables.is_empty(), "{kind}");
        for (name, shape) in tables {
            assert!(shape.len() == 2 && shape[0] == 6, "{kind}: {name} {shape:?}");
            assert!(names.reads_conditions(name), "{kind}: {name}");
        }
    }
}

#[test]
fn the_variables_that_conditions_add_are_those_that_read_them() {
    let more = PriorSpec::new(vec![16], [4, 4]).with_classes(9);
    for (kind, member) in members() {
        let names = member.condition_names();
        let all = variables(member.as_ref(), &conditioned());
        let fewer = variables(member.as_ref(), &more);
        let added: Vec<_> = all.iter().filter(|(name, _)| !fewer.iter().any(|(other, _)| other == name)).collect();
        assert!(!added.is_empty(), "{kind}");
        for (name, _) in added {
            assert!(names.reads_conditions(name), "{kind}: {name} is there for the condition grid alone");
        }
        for (name, shape) in fewer.iter().filter(|(name, _)| !names.reads_conditions(name) && name != "pos_emb") {
            assert!(all.contains(&(name.clone(), shape.clone())), "{kind}: {name} depends on the conditions");
        }
    }
}

#[test]
fn a_shared_vocabulary_has_no_table_of_classes() {
    let shared = Gpt2Config { vocabulary: Vocabulary::Shared, ..Gpt2Config::new(1, 2, 8) };
    let names = shared.condition_names();
    assert!(variables(&shared, &conditioned()).iter().all(|(name, _)| !names.reads_conditions(name)));
}
