//! The Fréchet distance against pytorch-fid and against arithmetic of 40 digits.

use serde_json::Value;
use tch::{Kind, Tensor};
use vqkit_metrics::{Gaussian, frechet_distance};
use vqkit_testing::Golden;

#[test]
fn golden_frechet() {
    let golden = Golden::open("frechet");
    let cases = golden.config()["config"]["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases.iter().filter_map(Value::as_str) {
        let part = |name: &str| golden.input(&format!("{case}/{name}"));
        let distance = if golden.has(&format!("{case}/real")) {
            let gathered = |features: Tensor| {
                let mut gaussian = Gaussian::new(features.size()[1]);
                features.split(16, 0).iter().for_each(|batch| gaussian.add(batch));
                gaussian
            };
            let (real, fake) = (gathered(part("real")), gathered(part("fake")));
            for (number, gaussian) in [(1, &real), (2, &fake)] {
                golden.close(&format!("{case}/mu{number}"), &gaussian.mean());
                golden.close(&format!("{case}/sigma{number}"), &gaussian.covariance());
            }
            real.frechet_distance(&fake).unwrap()
        } else {
            let [mu1, sigma1, mu2, sigma2] = ["mu1", "sigma1", "mu2", "sigma2"].map(part);
            frechet_distance((&mu1, &sigma1), (&mu2, &sigma2)).unwrap()
        };
        let distance = Tensor::from(distance).to_kind(Kind::Double);
        golden.close(&format!("{case}/fid_exact"), &distance);
    }
}
