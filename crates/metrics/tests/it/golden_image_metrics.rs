//! PSNR, SSIM, MS-SSIM against torchmetrics; Inception Score, precision and recall against arithmetic in f64.

use serde_json::Value;
use tch::{Kind, Tensor};
use vqkit_metrics::{InceptionScore, Manifold, Neighbours, Overlap, PixelError, Ssim};
use vqkit_testing::Golden;

fn number(config: &Value, key: &str) -> f64 {
    config[key].as_f64().unwrap_or_else(|| panic!("no number `{key}` in {config}"))
}

fn double(value: f64) -> Tensor {
    Tensor::from(value).to_kind(Kind::Double)
}

#[test]
fn golden_image_metrics() {
    let golden = Golden::open("image-metrics");
    let config = &golden.config()["config"];
    assert_eq!((config["gaussian_kernel"].as_bool(), config["normalize"].as_str()), (Some(true), Some("relu")));
    pixels(&golden);
    similarity(&golden);
    inception_score(&golden);
    manifolds(&golden);
}

/// PSNR, of single pairs and of all; ours takes pictures in `[-1, 1]` and counts in 1/255.
fn pixels(golden: &Golden) {
    let signed = |key: &str| golden.input(key).to_kind(Kind::Float) / 127.5 - 1.0;
    let (images, others) = (signed("pred_u8"), signed("target_u8"));
    let error = |images: &Tensor, others: &Tensor| {
        let mut error = PixelError::default();
        error.add(images, others);
        error
    };
    // Recorded are pictures in `[0, 1]`, of which `data_range` is the peak.
    let data_range = number(&golden.config()["config"], "data_range");
    let psnr = |error: &PixelError| error.psnr_db() + 20.0 * data_range.log10();
    golden.close("psnr_batch", &Tensor::from(psnr(&error(&images, &others))));
    let pairs: Vec<PixelError> = images.split(1, 0).iter().zip(others.split(1, 0)).map(|(a, b)| error(a, &b)).collect();
    let of_each =
        |metric: &dyn Fn(&PixelError) -> f64| Tensor::from_slice(&pairs.iter().map(metric).collect::<Vec<_>>());
    golden.close("mse", &of_each(&|error| error.mse() / 255.0f64.powi(2)));
    golden.close("psnr", &of_each(&psnr));
    golden.close("psnr_pm1_range2", &of_each(&PixelError::psnr_db));
}

fn similarity(golden: &Golden) {
    let config = &golden.config()["config"];
    let [data_range, sigma, k1, k2] = ["data_range", "sigma", "k1", "k2"].map(|key| number(config, key));
    let weights: Vec<f64> = config["betas"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
    let ssim = Ssim { data_range, sigma, k1, k2 };
    let unit = |key: &str| golden.input(key).to_kind(Kind::Float) / 255.0;
    let (images, others) = (unit("pred_u8"), unit("target_u8"));
    golden.close("ssim", &ssim.of_each(&images, &others).unwrap());
    let recorded = golden.input("ssim_map_corner").size();
    let map = ssim.map(&images, &others).unwrap().get(0);
    golden.close("ssim_map_corner", &map.narrow(1, 0, recorded[1]).narrow(2, 0, recorded[2]));
    let signed = |images: &Tensor| images * 2.0 - 1.0;
    let of_signed = Ssim { data_range: 2.0, ..ssim }.of_each(&signed(&images), &signed(&others));
    golden.close("ssim_pm1_range2", &of_signed.unwrap());
    let (images, others) = (unit("big_pred_u8"), unit("big_target_u8"));
    golden.close("ssim_big", &ssim.of_each(&images, &others).unwrap());
    golden.close("ms_ssim_big", &ssim.multi_scale_of_each(&images, &others, &weights).unwrap());
}

fn inception_score(golden: &Golden) {
    let probabilities = golden.input("probs");
    for splits in golden.config()["config"]["splits"].as_array().unwrap().iter().filter_map(Value::as_i64) {
        let mut score = InceptionScore::in_order(probabilities.size()[0], splits).unwrap();
        probabilities.split(7, 0).iter().for_each(|batch| score.add(batch));
        golden.close(&format!("is_mean_s{splits}"), &double(score.mean()));
        golden.close(&format!("is_std_s{splits}"), &double(score.std()));
    }
}

fn manifolds(golden: &Golden) {
    let neighbours = golden.config()["config"]["nearest_k"].as_i64().unwrap();
    let [real, fake] = ["features_real", "features_fake"].map(|key| golden.input(key));
    let [of_real, of_fake] = [&real, &fake].map(|features| Manifold::new(features, neighbours).unwrap());
    golden.close("radii_real", &of_real.radii(neighbours));
    golden.close("radii_fake", &of_fake.radii(neighbours));
    let overlap = Overlap::between(&of_real, &of_fake, Neighbours { precision: neighbours, density: neighbours });
    golden.equal("fake_inside", &overlap.fake_inside.to_kind(Kind::Uint8));
    golden.equal("real_inside", &overlap.real_inside.to_kind(Kind::Uint8));
    golden.close("precision", &double(overlap.precision()));
    golden.close("recall", &double(overlap.recall()));
}
