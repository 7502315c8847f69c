//! The transformers against what taming-transformers and LlamaGen gave for recorded weights and inputs.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is what it expects")]

use std::collections::BTreeSet;
use std::slice::from_ref;

use tch::{Device, Kind, Tensor, nn};
use vqkit_priors::autoregressive::{top_k, top_p};
use vqkit_priors::gpt::rotary_table;
use vqkit_priors::{
    Autoregressive, AutoregressiveSampling, CfgSchedule, Condition, Cursor, Embedding, Gpt, Gpt2Config, GridSpec,
    KnownTokens, LlamaConfig, Prior, PriorSpec, TokenOrder, Vocabulary,
};
use vqkit_testing::Golden;
use vqkit_torch::TokenGrid;
use vqkit_torch::optim::{Adam, AdamConfig, ParamGroup, decays};

mod one_level;

use self::one_level::sample;

fn integer(golden: &Golden, key: &str) -> i64 {
    golden.config()["config"][key].as_i64().unwrap_or_else(|| panic!("config.{key} is an integer"))
}

fn number(golden: &Golden, key: &str) -> f64 {
    golden.config()["config"][key].as_f64().unwrap_or_else(|| panic!("config.{key} is a number"))
}

/// Copies the golden's weights; `skip` names those that upstream keeps and that are no parameters.
fn load(golden: &Golden, vs: &nn::VarStore, skip: &str) {
    tch::set_num_threads(1);
    let weights = golden.weights();
    let mut variables = vs.variables();
    let wanted: BTreeSet<_> = weights.keys().filter(|name| !name.ends_with(skip)).collect();
    assert_eq!(wanted, variables.keys().collect::<BTreeSet<_>>(), "names of parameters");
    tch::no_grad(|| {
        for name in wanted {
            let variable = variables.get_mut(name).expect("compared above");
            assert_eq!(variable.size(), weights[name].size(), "{name}");
            variable.copy_(&weights[name]);
        }
    });
}

fn one_row(tokens: &Tensor, codes: i64) -> TokenGrid {
    TokenGrid::new(tokens.unsqueeze(1).unsqueeze(1), vec![codes]).expect("a grid of one row")
}

fn gradients(golden: &Golden, vs: &nn::VarStore, loss: &Tensor) {
    loss.backward();
    let variables = vs.variables();
    for key in golden.keys() {
        if let Some(name) = key.strip_prefix("grad/") {
            golden.close(key, &variables[name].grad());
        }
    }
}

/// taming's model: `condition` tokens of the same vocabulary in front of `tokens`, both in one row.
fn taming(
    golden: &Golden,
    condition: i64,
    tokens: i64,
    change: impl Fn(&mut Gpt2Config, &mut PriorSpec),
) -> (nn::VarStore, Gpt) {
    let codes = integer(golden, "vocab_size");
    let mut config = Gpt2Config {
        block_size: Some(integer(golden, "block_size")),
        embd_pdrop: number(golden, "embd_pdrop"),
        resid_pdrop: number(golden, "resid_pdrop"),
        attn_pdrop: number(golden, "attn_pdrop"),
        n_unmasked: integer(golden, "n_unmasked"),
        pkeep: number(golden, "pkeep"),
        vocabulary: Vocabulary::Shared,
        ..Gpt2Config::new(integer(golden, "n_layer"), integer(golden, "n_head"), integer(golden, "n_embd"))
    };
    let prefix = GridSpec { sizes: vec![codes], grid: [1, condition] };
    let mut spec = PriorSpec::new(vec![codes], [1, tokens]).with_condition_grid(prefix);
    change(&mut config, &mut spec);
    let vs = nn::VarStore::new(Device::Cpu);
    let gpt = config.build(&vs.root(), &spec).expect("the golden's hyper-parameters are allowed");
    load(golden, &vs, "attn.mask");
    (vs, gpt)
}

#[test]
fn golden_taming_gpt() {
    let golden = Golden::open("taming-gpt");
    let (c, z) = (golden.input("c_indices"), golden.input("z_indices"));
    let (length, tokens) = (c.size()[1], z.size()[1]);
    let codes = integer(&golden, "vocab_size");
    let (vs, gpt) = taming(&golden, length, tokens, |_, _| {});
    let condition = Condition::none().with_grid(one_row(&c, codes));
    let target = one_row(&z, codes);

    golden.close("logits_full", &gpt.sequence_logits(&condition, &z.narrow(1, 0, tokens - 1)).unwrap());
    golden.close("logits_cut", &gpt.logits(&target, &condition).unwrap().squeeze_dim(2).transpose(1, 2));
    // Recorded in evaluation mode: nothing is dropped and every token is kept, whatever the probabilities are.
    let loss = gpt.loss(from_ref(&target), &condition, false).unwrap().image;
    golden.close("loss", &loss);
    gradients(&golden, &vs, &loss);
    an_optimizer_step(&golden, &vs);

    embeddings_in_front(&golden, &c);
    unmasked_tokens(&golden, &c, &z);
    greedy(&golden, &c, &z);
    filters(&golden);
}

/// Decay falls where upstream has it.
fn an_optimizer_step(golden: &Golden, vs: &nn::VarStore) {
    let settings = &golden.config()["optimizer"];
    let list = |group: &str| -> BTreeSet<String> {
        let names = settings[group]["params"].as_array().expect("a list of names");
        names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
    };
    let float = |value: &serde_json::Value| value.as_f64().expect("a number");
    let (decayed, plain): (Vec<_>, Vec<_>) = vs.variables().into_iter().partition(|(name, value)| decays(name, value));
    let names = |group: &[(String, Tensor)]| group.iter().map(|(name, _)| name.clone()).collect::<BTreeSet<_>>();
    assert_eq!((names(&decayed), names(&plain)), (list("decay"), list("no_decay")));
    let group = |name: &str, params| ParamGroup {
        name: name.into(),
        params,
        lr: float(&settings["lr"]),
        weight_decay: float(&settings[name]["weight_decay"]),
    };
    let betas = (float(&settings["betas"][0]), float(&settings["betas"][1]));
    let config = AdamConfig { eps: float(&settings["eps"]), ..AdamConfig::adamw(betas) };
    Adam::new(vec![group("decay", decayed), group("no_decay", plain)], config).unwrap().step().unwrap();
    let variables = vs.variables();
    for key in golden.keys() {
        if let Some(name) = key.strip_prefix("after_step/") {
            golden.close(key, &variables[name]);
        }
    }
}

fn embeddings_in_front(golden: &Golden, c: &Tensor) {
    let embeddings = golden.input("embeddings");
    let (batch, length, width) = embeddings.size3().unwrap();
    let (_vs, gpt) = taming(golden, c.size()[1], 1, |_, spec| *spec = spec.clone().with_embedding(length, width));
    let grid = one_row(c, integer(golden, "vocab_size"));
    let condition = Condition::none().with_grid(grid).with_embedding(Embedding { values: embeddings, mask: None });
    let nothing = Tensor::zeros([batch, 0], (Kind::Int64, Device::Cpu));
    golden.close("logits_embeddings", &gpt.sequence_logits(&condition, &nothing).unwrap());
}

/// The unmasked tokens are the condition, wherever the golden's own condition ends.
fn unmasked_tokens(golden: &Golden, c: &Tensor, z: &Tensor) {
    let unmasked = integer(golden, "n_unmasked_second");
    let all = Tensor::cat(&[c, z], 1);
    let (prefix, rest) = (all.narrow(1, 0, unmasked), all.size()[1] - unmasked);
    let (_vs, gpt) = taming(golden, unmasked, rest, |config, _| config.n_unmasked = unmasked);
    let condition = Condition::none().with_grid(one_row(&prefix, integer(golden, "vocab_size")));
    let tokens = all.narrow(1, unmasked, rest - 1);
    golden.close("logits_n_unmasked", &gpt.sequence_logits(&condition, &tokens).unwrap());
}

fn greedy(golden: &Golden, c: &Tensor, z: &Tensor) {
    let (codes, known) = (integer(golden, "vocab_size"), golden.config()["z_prefix"].as_i64().expect("an integer"));
    let (batch, written) = golden.input("greedy_cache").size2().unwrap();
    let (_vs, gpt) = taming(golden, c.size()[1], known + written, |_, _| {});
    let condition = Condition::none().with_grid(one_row(c, codes));
    let prefix = z.narrow(1, 0, known);

    let mut cursor = gpt.cursor(&condition, batch).unwrap();
    (0..known).for_each(|position| cursor.push(&prefix.select(1, position)).unwrap());
    let _ = cursor.logits().unwrap();
    let layers = cursor.keys_and_values().unwrap();
    let layers: Vec<_> = layers.iter().map(|[keys, values]| Tensor::stack(&[keys, values], 0)).collect();
    golden.close("presents_prefill", &Tensor::stack(&layers, 0));

    let start = Tensor::cat(&[prefix.shallow_clone(), Tensor::zeros([batch, written], (Kind::Int64, Device::Cpu))], 1);
    let mask = Tensor::arange(known + written, (Kind::Int64, Device::Cpu)).lt(known);
    let mask = mask.view([1, 1, known + written]).expand([batch, 1, known + written], false).contiguous();
    let given = KnownTokens::new(one_row(&start, codes), mask).unwrap();
    let likeliest = AutoregressiveSampling { temperature: 0.0, ..AutoregressiveSampling::default() };
    let drawn = sample(&gpt, &condition, batch, &likeliest, 0, Some(&given)).unwrap();
    golden.equal("greedy_cache", &drawn.indices.flatten(1, 3).narrow(1, known, written));

    let mut tokens = prefix;
    for _ in 0..written {
        let logits = gpt.sequence_logits(&condition, &tokens).unwrap();
        let next = logits.select(1, logits.size()[1] - 1).argmax(-1, true);
        tokens = Tensor::cat(&[tokens, next], 1);
    }
    golden.equal("greedy_no_cache", &tokens.narrow(1, known, written));
}

fn filters(golden: &Golden) {
    let logits = golden.input("filter_logits");
    for key in golden.keys().filter(|key| key.starts_with("top_k_logits_")) {
        golden.close(key, &top_k(&logits, key["top_k_logits_".len()..].parse().expect("a number")));
    }
    for case in golden.config()["filter_cases"].as_array().expect("a list") {
        let (k, p) = (case["top_k"].as_i64().expect("an integer"), case["top_p"].as_f64().expect("a number"));
        let some = if k > 0 { top_k(&logits, k) } else { logits.shallow_clone() };
        let few = if p < 1.0 { top_p(&some, p) } else { some };
        golden.close(&format!("filter_k{k}_p{p:?}"), &few);
    }
}

#[test]
fn golden_taming_permuters() {
    let golden = Golden::open("taming-permuters");
    let grid = [integer(&golden, "H"), integer(&golden, "W")];
    let x = golden.input("x");
    let recorded: Vec<_> = golden.keys().filter_map(|key| key.strip_suffix("/y")).collect();
    assert!(!recorded.is_empty(), "no order is recorded");
    for name in recorded {
        let places = Tensor::from_slice(&taming_order(name).raster_positions(grid).unwrap());
        golden.equal(&format!("{name}/forward_shuffle_idx"), &places);
        golden.equal(&format!("{name}/backward_shuffle_idx"), &places.argsort(0, false));
        golden.equal(&format!("{name}/y"), &x.index_select(1, &places));
    }
}

/// Our name for an order of taming's `permuter.py`.
fn taming_order(name: &str) -> TokenOrder {
    match name {
        "Subsample" => TokenOrder::Subsample,
        "ZCurve" => TokenOrder::ZCurve,
        "SpiralOut" => TokenOrder::SpiralOut,
        "SpiralIn" => TokenOrder::SpiralIn,
        "Random" => TokenOrder::Random,
        "AlternateParsing" => TokenOrder::Alternate,
        other => panic!("`{other}` is no order of ours"),
    }
}

fn llamagen_config(golden: &Golden) -> LlamaConfig {
    let config = &golden.config()["config"];
    LlamaConfig {
        n_kv_head: config["n_kv_head"].as_i64(),
        multiple_of: integer(golden, "multiple_of"),
        ffn_dim_multiplier: config["ffn_dim_multiplier"].as_f64(),
        rope_base: number(golden, "rope_base"),
        norm_eps: number(golden, "norm_eps"),
        // What was recorded in training mode was recorded with every dropout at 0.
        token_dropout_p: 0.0,
        resid_dropout_p: 0.0,
        ffn_dropout_p: 0.0,
        condition_dropout: number(golden, "class_dropout_prob"),
        ..LlamaConfig::new(integer(golden, "n_layer"), integer(golden, "n_head"), integer(golden, "dim"))
    }
}

/// LlamaGen's model with the conditions of `condition`, which stands for the target alone.
fn llamagen(golden: &Golden, condition: impl Fn(PriorSpec) -> PriorSpec) -> (nn::VarStore, Gpt) {
    let side = (integer(golden, "block_size") as f64).sqrt() as i64;
    let spec = condition(PriorSpec::new(vec![integer(golden, "vocab_size")], [side, side]));
    let vs = nn::VarStore::new(Device::Cpu);
    let gpt = llamagen_config(golden).build(&vs.root(), &spec).expect("the golden's hyper-parameters are allowed");
    load(golden, &vs, "\0");
    (vs, gpt)
}

/// Everything that both kinds of condition have.
fn check_llamagen(golden: &Golden, vs: &nn::VarStore, gpt: &Gpt, plain: &Condition, padded: &Condition) {
    let tokens = golden.input("idx");
    let (batch, length) = tokens.size2().unwrap();
    let [height, width] = gpt.spec().target.grid;
    let prefix = integer(golden, "cls_token_num");
    let raster = (0..length).map(|place| Some([(place / width) as f64, (place % width) as f64]));
    let places: Vec<_> = (0..prefix).map(|_| None).chain(raster).collect();
    let head_dim = integer(golden, "dim") / integer(golden, "n_head");
    golden.close("freqs_cis", &rotary_table(&places, head_dim, number(golden, "rope_base")));

    golden.close("logits", &gpt.sequence_logits(plain, &tokens).unwrap());
    let short = golden.input("logits_short").size()[1] - prefix;
    golden.close("logits_short", &gpt.sequence_logits(plain, &tokens.narrow(1, 0, short)).unwrap());

    let grid = tokens.view([batch, 1, height, width]);
    let target = TokenGrid::new(grid, gpt.spec().target.sizes.clone()).unwrap();
    golden.close("train_logits", &gpt.logits(&target, plain).unwrap().flatten(2, 3).transpose(1, 2));
    let loss = gpt.loss(from_ref(&target), plain, false).unwrap().image;
    golden.close("loss", &loss);
    gradients(golden, vs, &loss);

    let greedy = |key: &str, sampling: AutoregressiveSampling| {
        let sampling = AutoregressiveSampling { temperature: 0.0, ..sampling };
        let drawn = sample(gpt, padded, batch, &sampling, 0, None).unwrap();
        golden.equal(key, &drawn.indices.flatten(1, 3));
    };
    let guided = AutoregressiveSampling { cfg_scale: number(golden, "cfg_scale"), ..AutoregressiveSampling::default() };
    greedy("greedy_nocfg", AutoregressiveSampling::default());
    if let Some(interval) = golden.config()["config"]["cfg_interval"].as_i64() {
        // Upstream counts from the second token, and guides the first always.
        let cfg_schedule = if interval < 0 { CfgSchedule::Constant } else { CfgSchedule::First(interval + 2) };
        greedy("greedy_cfg_interval", AutoregressiveSampling { cfg_schedule, ..guided.clone() });
    }
    greedy("greedy_cfg", guided);
}

#[test]
fn golden_llamagen_gpt() {
    let golden = Golden::open("llamagen-gpt");
    let (vs, gpt) = llamagen(&golden, |spec| spec.with_classes(integer(&golden, "num_classes")));
    let condition = Condition::none().with_class(golden.input("cond"));
    check_llamagen(&golden, &vs, &gpt, &condition, &condition);
}

#[test]
fn golden_llamagen_gpt_t2i() {
    let golden = Golden::open("llamagen-gpt-t2i");
    let (length, dim) = (integer(&golden, "cls_token_num"), integer(&golden, "caption_dim"));
    let (vs, gpt) = llamagen(&golden, |spec| spec.with_embedding(length, dim));
    let embedding = |mask| Embedding { values: golden.input("cond"), mask };
    let plain = Condition::none().with_embedding(embedding(None));
    let padded = Condition::none().with_embedding(embedding(Some(golden.input("emb_masks").to_kind(Kind::Bool))));
    check_llamagen(&golden, &vs, &gpt, &plain, &padded);
}
