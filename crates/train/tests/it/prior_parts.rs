//! A prior's batch in parts: the gradients of the whole.

use tch::{Device, Kind, Tensor, nn::VarStore};
use vqkit_priors::{Condition, GridSpec, PriorSpec};
use vqkit_recipe::Recipe;
use vqkit_torch::TokenGrid;
use vqkit_train::TrainState;

use crate::adversarial::{Named, difference, gradients, seeded};

const BATCH: i64 = 8;

const RECIPE: &str = r#"
name = "parts"
[data]
image_size = 24
[data.source]
type = "shapes"
count = 8
validation_count = 8
[tokenizer]
from = "elsewhere"
[[prior]]
type = "pixelcnn"
dim = 8
num_layers = 3
[prior.train]
steps = 1
batch_size = 8
learning_rate = 1e-3
"#;

/// The gradients of a batch that is cut into parts of these sizes, and its loss.
fn gathered(parts: &[i64]) -> (Named, f64) {
    assert_eq!(parts.iter().sum::<i64>(), BATCH);
    let recipe = Recipe::parse("recipe", RECIPE, &[]).unwrap();
    let spec =
        PriorSpec::new(vec![11], [4, 5]).with_classes(3).with_condition_grid(GridSpec { sizes: vec![7], grid: [2, 3] });
    let random = |size: i64, shape: &[i64]| Tensor::randint(size, shape, (Kind::Int64, Device::Cpu));
    seeded(5, || {
        let vs = VarStore::new(Device::Cpu);
        let prior = recipe.priors[0].network.build(&vs.root(), &spec).unwrap();
        let mut state = TrainState::new(vs, &recipe.priors[0].train, Kind::Float).unwrap();
        let (grids, coarse, classes) =
            (random(11, &[BATCH, 1, 4, 5]), random(7, &[BATCH, 1, 2, 3]), random(3, &[BATCH]));
        let mut start = 0;
        let losses = parts.iter().map(|&count| {
            let cut = |tensor: &Tensor| tensor.narrow(0, start, count);
            let target = TokenGrid::new(cut(&grids), vec![11]).unwrap();
            let above = TokenGrid::new(cut(&coarse), vec![7]).unwrap();
            let condition = Condition::none().with_class(cut(&classes)).with_grid(above);
            start += count;
            Ok((
                prior.loss(std::slice::from_ref(&target), &condition, true).unwrap().image,
                count as f64 / BATCH as f64,
            ))
        });
        let loss = state.gather(losses).unwrap();
        (gradients(&state), loss.double_value(&[]))
    })
}

#[test]
fn parts_of_any_size_give_the_gradients_of_the_whole() {
    let (whole, loss) = gathered(&[BATCH]);
    for parts in [&[4, 4][..], &[2, 2, 2, 2], &[1, 7]] {
        let (split, of_parts) = gathered(parts);
        let apart = difference(&split, &whole);
        assert!(apart < 1e-5, "{parts:?}: gradients differ by {apart}");
        assert!((of_parts - loss).abs() < 1e-5, "{parts:?}: the loss is {of_parts}, whole {loss}");
    }
}
