//! FID's InceptionV3 against pytorch-fid, with weights computed from their names.

use serde_json::Value;
use tch::{Device, Kind, Tensor};
use vqkit_metrics::FidInception;
use vqkit_testing::Golden;

/// The integer pattern of the golden's larger pictures, uint8 `[count, 3, 299, 299]`.
fn pattern(config: &Value, count: i64) -> Tensor {
    let [a, b] = ["pattern_a", "pattern_b"].map(|key| config[key].as_i64().unwrap());
    let axis = |shape: [i64; 4]| {
        let length: i64 = shape.iter().product();
        Tensor::arange(length, (Kind::Int64, Device::Cpu)).view(shape)
    };
    let (picture, channel) = (axis([count, 1, 1, 1]), axis([1, 3, 1, 1]));
    let (y, x) = (axis([1, 1, 299, 1]), axis([1, 1, 1, 299]));
    let folds = (&x * &y).bitwise_right_shift_tensor_scalar(4) * (&channel + 1);
    let sum: Tensor = &x * a + &y * b + folds + &picture * (&channel + 2) * 61;
    let wave = sum.bitwise_right_shift_tensor_scalar(2).remainder(512);
    let mirrored = 511 - &wave;
    wave.where_self(&wave.lt(256), &mirrored).to_kind(Kind::Uint8)
}

/// The part of `whole` that is recorded under `key`: as much as is recorded, from `start` in rows and columns.
fn part(golden: &Golden, key: &str, whole: &Tensor, start: [i64; 2]) -> Tensor {
    let size = golden.input(key).size();
    whole.narrow(1, 0, size[1]).narrow(2, start[0], size[2]).narrow(3, start[1], size[3])
}

fn compare(golden: &Golden, network: &FidInception, name: &str, images: &Tensor) {
    let blocks = network.blocks(images).unwrap();
    for (number, block) in blocks[..3].iter().enumerate() {
        let (flat, corner) = (block.flatten(1, -1), format!("block{number}_corner_{name}"));
        golden.close(&format!("block{number}_mean_{name}"), &flat.mean_dim([1i64].as_slice(), false, None));
        golden.close(&format!("block{number}_std_{name}"), &flat.std_dim([1i64].as_slice(), true, false));
        golden.close(&corner, &part(golden, &corner, block, [0, 0]));
    }
    golden.close(&format!("pool_{name}"), &blocks[3]);
}

#[test]
fn golden_fid_inception() {
    let golden = Golden::open("fid-inception");
    let config = &golden.config()["config"];
    for key in ["resize_input", "normalize_input", "use_fid_inception"] {
        assert_eq!(config[key].as_bool(), Some(true), "{key}");
    }
    let network = FidInception::from_tensors(&golden.weights(), Device::Cpu).unwrap();
    let pattern = pattern(config, golden.input("pattern_sum").size()[0]);
    golden
        .equal("pattern_sum", &pattern.to_kind(Kind::Int64).sum_dim_intlist([2i64, 3].as_slice(), false, Kind::Int64));
    golden.equal("pattern_corner", &part(&golden, "pattern_corner", &pattern, [0, 290]));
    let signed = |pixels: &Tensor| pixels.to_kind(Kind::Float) / 127.5 - 1.0;
    compare(&golden, &network, "299", &signed(&pattern));
    // Pictures that are recorded have their size in their name: `img64_u8`.
    let recorded: Vec<_> = golden.keys().filter_map(|key| key.strip_prefix("img")?.strip_suffix("_u8")).collect();
    for size in &recorded {
        compare(&golden, &network, size, &signed(&golden.input(&format!("img{size}_u8"))));
    }
    let first = golden.input(&format!("img{}_u8", recorded[0]));
    let resized = (network.resized(&signed(&first)).unwrap() + 1.0) * 0.5;
    golden.close("resized_corner", &part(&golden, "resized_corner", &resized, [0, 0]));
    golden.close("resized_middle", &part(&golden, "resized_middle", &resized, [147, 200]));
}

#[test]
fn weights_that_are_not_of_this_network_are_refused() {
    let golden = Golden::open("fid-inception");
    let refuse = |change: &dyn Fn(&mut std::collections::BTreeMap<String, Tensor>)| {
        let mut weights = golden.weights();
        change(&mut weights);
        FidInception::from_tensors(&weights, Device::Cpu).unwrap_err().to_string()
    };
    let missing = refuse(&|weights| drop(weights.remove("Mixed_6c.branch7x7_2.bn.bias")));
    assert!(missing.contains("`Mixed_6c.branch7x7_2.bn.bias` is missing"), "{missing}");
    let stranger = refuse(&|weights| drop(weights.insert("Mixed_8a.bias".into(), Tensor::from(0.0f32))));
    assert_eq!(stranger, "`Mixed_8a.bias` does not belong to FID's InceptionV3");
    let shape = refuse(&|weights| {
        weights.insert("Conv2d_1a_3x3.bn.bias".into(), Tensor::zeros([7], (Kind::Float, Device::Cpu)));
    });
    assert_eq!(shape, "`Conv2d_1a_3x3.bn.bias` must have shape [32], got [7]");
}
