//! Blocks that are run once more on the way back; alone in its process, since it looks at the random numbers.

use std::slice::from_ref;

use tch::{Device, Kind, Tensor, nn};
use vqkit_priors::{Condition, Gpt2Config, LlamaConfig, Prior, PriorSpec};
use vqkit_torch::TokenGrid;

const CPU: Device = Device::Cpu;
const CODES: i64 = 13;

#[test]
fn blocks_that_run_twice_give_the_same_gradients() {
    let spec = PriorSpec::new(vec![CODES], [3, 4]).with_classes(3);
    let indices = Tensor::randint(CODES, [4, 1, 3, 4], (Kind::Int64, CPU));
    let (target, class) = (TokenGrid::new(indices, vec![CODES]).unwrap(), Tensor::from_slice(&[0i64, 1, 2, 0]));
    let gradients = |activation_checkpointing: bool, llama_kind: bool| {
        tch::manual_seed(5);
        let vs = nn::VarStore::new(CPU);
        let llama = LlamaConfig { activation_checkpointing, multiple_of: 8, ..LlamaConfig::new(2, 2, 16) };
        let gpt2 = Gpt2Config { resid_pdrop: 0.3, embd_pdrop: 0.1, attn_pdrop: 0.1, ..Gpt2Config::new(3, 2, 12) };
        let gpt = match llama_kind {
            true => llama.build(&vs.root(), &spec),
            false => Gpt2Config { activation_checkpointing, ..gpt2 }.build(&vs.root(), &spec),
        }
        .unwrap();
        // LlamaGen's head is 0 at first, which would hide every other gradient.
        tch::no_grad(|| {
            vs.trainable_variables().iter_mut().for_each(|value| drop(value.g_add_(&(value.randn_like() * 0.1))))
        });
        let condition = Condition::none().with_class(class.shallow_clone());
        let loss = gpt.loss(from_ref(&target), &condition, true).unwrap().image;
        let next = Tensor::rand([3], (Kind::Float, CPU));
        loss.backward();
        let behind = Tensor::rand([3], (Kind::Float, CPU));
        let mut named: Vec<_> = vs.variables().into_iter().map(|(name, value)| (name, value.grad())).collect();
        named.sort_by(|(left, _), (right, _)| left.cmp(right));
        (loss, named, next, behind)
    };
    for llama_kind in [false, true] {
        let (plain, twice) = (gradients(false, llama_kind), gradients(true, llama_kind));
        assert_eq!((plain.0, plain.2, plain.3), (twice.0, twice.2, twice.3), "loss, and random numbers behind it");
        for ((name, plain), (_, twice)) in plain.1.iter().zip(&twice.1) {
            let size = largest(plain.shallow_clone());
            assert!(size > 0.0 && largest(plain - twice) < 1e-5 * size, "{name}");
        }
    }
}

fn largest(difference: Tensor) -> f64 {
    difference.abs().max().double_value(&[])
}
