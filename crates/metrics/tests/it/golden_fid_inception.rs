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

fn corner(block: &Tensor) -> Tensor {
    block.narrow(1, 0, 6).narrow(2, 0, 2).narrow(3, 0, 2)
}

#[test]
fn golden_fid_inception() {
    let Some(golden) = Golden::open("fid-inception") else { return };
    let network = FidInception::from_tensors(&golden.weights(), Device::Cpu).unwrap();
    let pattern = pattern(&golden.config()["config"], golden.input("pattern_sum").size()[0]);
    golden
        .equal("pattern_sum", &pattern.to_kind(Kind::Int64).sum_dim_intlist([2i64, 3].as_slice(), false, Kind::Int64));
    golden.equal("pattern_corner", &pattern.narrow(2, 0, 3).narrow(3, 290, 9));
    // Pictures that are recorded have their size in their name: `img64_u8`.
    let recorded = golden.keys().find_map(|key| key.strip_prefix("img")?.strip_suffix("_u8")).unwrap().to_owned();
    let small = golden.input(&format!("img{recorded}_u8"));
    let signed = |pixels: &Tensor| pixels.to_kind(Kind::Float) / 127.5 - 1.0;
    for (name, pixels) in [("299", &pattern), (&recorded, &small)] {
        let images = signed(pixels);
        let blocks = network.blocks(&images).unwrap();
        for (number, block) in blocks[..3].iter().enumerate() {
            let flat = block.flatten(1, -1);
            golden.close(&format!("block{number}_mean_{name}"), &flat.mean_dim([1i64].as_slice(), false, None));
            golden.close(&format!("block{number}_std_{name}"), &flat.std_dim([1i64].as_slice(), true, false));
            golden.close(&format!("block{number}_corner_{name}"), &corner(block));
        }
        golden.close(&format!("pool_{name}"), &blocks[3]);
    }
    let resized = (network.resized(&signed(&small)).unwrap() + 1.0) * 0.5;
    golden.close("resized_corner", &resized.narrow(2, 0, 4).narrow(3, 0, 4));
    golden.close("resized_middle", &resized.narrow(2, 147, 4).narrow(3, 200, 4));
}

#[test]
fn weights_that_are_not_of_this_network_are_refused() {
    let Some(golden) = Golden::open("fid-inception") else { return };
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
