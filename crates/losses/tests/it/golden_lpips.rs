//! richzhang/PerceptualSimilarity (`lpips`), VGG16.

use tch::{Device, Kind, Tensor, nn};
use vqkit_losses::{Lpips, Perceptual, lpips_state};
use vqkit_testing::Golden;
use vqkit_torch::weights;

fn build(golden: &Golden) -> Lpips {
    let config = &golden.config()["config"];
    assert_eq!((config["net"].as_str(), config["version"].as_str()), (Some("vgg"), Some("0.1")));
    assert_eq!((config["lpips"].as_bool(), config["spatial"].as_bool()), (Some(true), Some(false)));
    let mut vs = nn::VarStore::new(Device::Cpu);
    let lpips = Lpips::new(&vs.root());
    weights::assign(&lpips_state(golden.weights()).unwrap(), &mut vs).unwrap();
    assert!(vs.trainable_variables().is_empty());
    lpips
}

#[test]
#[ignore = "its recording is not in the repository: VQKIT_GOLDEN names a folder with `lpips`"]
fn golden_lpips() {
    let golden = Golden::open("lpips");
    let lpips = build(&golden);
    let unsigned = |key: &str| golden.input(key).to_kind(Kind::Float) / 255.0;
    let signed = |key: &str| golden.input(key).to_kind(Kind::Float) / 127.5 - 1.0;
    let (first, second) = (signed("in0_u8"), signed("in1_u8"));

    distances(&golden, &lpips, "pm", &first, &second);
    distances(&golden, &lpips, "norm01", &(unsigned("in0_u8") * 2.0 - 1.0), &(unsigned("in1_u8") * 2.0 - 1.0));
    distances(&golden, &lpips, "raw01", &unsigned("in0_u8"), &unsigned("in1_u8"));
    features(&golden, &lpips, &first);
    gradient(&golden, &lpips, &first, &second);
}

fn distances(golden: &Golden, lpips: &Lpips, convention: &str, first: &Tensor, second: &Tensor) {
    golden.close(&format!("per_layer_{convention}"), &lpips.per_layer(first, second).unwrap());
    golden.close(&format!("total_{convention}"), &lpips.distance(first, second).unwrap());
}

fn features(golden: &Golden, lpips: &Lpips, images: &Tensor) {
    let features = lpips.features(images).unwrap();
    let over = [1i64, 2, 3].as_slice();
    let stack = |statistic: &dyn Fn(&Tensor) -> Tensor| {
        Tensor::stack(&features.maps().iter().map(statistic).collect::<Vec<_>>(), 1)
    };
    golden.close("feat_mean", &stack(&|map| map.mean_dim(over, false, None)));
    golden.close("feat_std", &stack(&|map| map.std_dim(over, true, false)));
    golden.close("feat_absmax", &stack(&|map| map.abs().amax(over, false)));
    for (k, map) in features.maps().iter().enumerate() {
        let key = format!("feat{k}_corner");
        let cut = golden.input(&key).size().into_iter().zip(0..);
        golden.close(&key, &cut.fold(map.get(0), |map, (length, axis)| map.narrow(axis, 0, length)));
    }
}

fn gradient(golden: &Golden, lpips: &Lpips, first: &Tensor, second: &Tensor) {
    let second = second.copy().set_requires_grad(true);
    let reference = lpips.features(first).unwrap();
    lpips.distance_to(&second, &reference).unwrap().mean(None).backward();
    golden.close("grad_in1_pair0", &second.grad().narrow(0, 0, 1));
}
