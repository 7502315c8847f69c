//! One operation as an expression of TorchScript.

use crate::op::Op;

/// libtorch's numbers of the kinds i64 and f32, which stand for the names in what `torch.` leads to.
const INT64: i64 = 4;
const FLOAT32: i64 = 6;

/// The expression of `op` on the variables `x`; constants lie on the device of the variable `device_of`.
pub(super) fn expression(op: &Op, x: &[String], device_of: &str) -> String {
    let call = |function: &str, arguments: &str| format!("torch.{function}({}{arguments})", x.join(", "));
    match op {
        Op::Input(name) => name.clone(),
        Op::Weight(name) => weight(name),
        Op::Floats(numbers) => {
            let numbers: Vec<_> = numbers.iter().map(|number| format!("{:?}", f64::from(*number))).collect();
            format!("torch.tensor([{}], dtype={FLOAT32}, device={device_of}.device)", numbers.join(", "))
        }
        Op::Integers(numbers) => format!("torch.tensor({numbers:?}, dtype={INT64}, device={device_of}.device)"),
        Op::Conv { stride, padding } => {
            let without_bias = if x.len() < 3 { ", None" } else { "" };
            call("conv2d", &format!("{without_bias}, [{stride}, {stride}], [{padding}, {padding}]"))
        }
        Op::ConvTranspose { stride, padding } => {
            call("conv_transpose2d", &format!(", [{stride}, {stride}], [{padding}, {padding}]"))
        }
        Op::GroupNorm { groups, eps } => {
            let affine = x.get(1..3).map_or("None, None".to_owned(), |affine| affine.join(", "));
            format!("torch.group_norm({}, {groups}, {affine}, {eps:?})", x[0])
        }
        Op::BatchNorm { eps } => call("batch_norm", &format!(", False, 0.0, {eps:?}, False")),
        Op::PadBelowRight => call("constant_pad_nd", ", [0, 1, 0, 1]"),
        Op::HalveByMean => call("avg_pool2d", ", [2, 2], [2, 2]"),
        Op::Repeat { factor } => call("upsample_nearest2d", &format!(", None, [{factor}.0, {factor}.0]")),
        Op::DepthToSpace => {
            // libtorch orders the channels by channel, then row, then column.
            let by_channel = format!("torch.transpose(torch.unflatten({}, 1, [4, -1]), 1, 2)", x[0]);
            format!("torch.pixel_shuffle(torch.flatten({by_channel}, 1, 2), 2)")
        }
        Op::Rows => format!("torch.contiguous(torch.transpose(torch.flatten({}, 2), 1, 2))", x[0]),
        Op::Map => {
            let (rows, like) = (&x[0], &x[1]);
            let sizes = format!("[{rows}.size(0), {rows}.size(2), {like}.size(2), {like}.size(3)]");
            format!("torch.reshape(torch.transpose({rows}, 1, 2), {sizes})")
        }
        Op::Attention { .. } => call("scaled_dot_product_attention", ""),
        Op::Linear => call("linear", ""),
        Op::Lookup => format!("torch.embedding({}, torch.squeeze({}, 2))", x[0], x[1]),
        Op::Flatten => call("flatten", ", 1"),
        Op::MeanOfRows => call("mean", ", [1], True"),
        Op::VarianceOfRows => call("var", &format!(", [1], correction=min({}.size(1) - 1, 1), keepdim=True", x[0])),
        Op::Transpose => call("transpose", ", 1, 2"),
        Op::Relu => call("relu", ""),
        Op::Silu => call("silu", ""),
        Op::Tanh => call("tanh", ""),
        Op::Sqrt => call("sqrt", ""),
        Op::Round => call("round", ""),
        Op::Floor => call("floor", ""),
        Op::IsPositive => format!("torch.to(torch.gt({}, 0.0), {FLOAT32})", x[0]),
        Op::AtLeast(least) => call("clamp_min", &format!(", {least:?}")),
        Op::Add => call("add", ""),
        Op::Sub => call("sub", ""),
        Op::Mul => call("mul", ""),
        Op::Div => call("div", ""),
        Op::Quotient => call("floor_divide", ""),
        Op::Remainder => call("remainder", ""),
        Op::SumLast => call("sum", ", [-1]"),
        Op::LengthLast => call("norm", ", 2, [-1], True"),
        Op::Best { largest } => call(if *largest { "argmax" } else { "argmin" }, ", -1, True"),
        Op::ToIntegers => call("to", &format!(", {INT64}")),
        Op::ToFloats => call("to", &format!(", {FLOAT32}")),
        Op::Concat { axis } => format!("torch.cat([{}], {axis})", x.join(", ")),
        Op::Narrow { axis, start, length } => call("narrow", &format!(", {axis}, {start}, {length}")),
        Op::Unsqueeze { axis } => call("unsqueeze", &format!(", {axis}")),
        Op::Squeeze { axis } => call("squeeze", &format!(", {axis}")),
    }
}

/// `self.encoder.conv_in.weight`, with a call where a part of the name is no identifier: `getattr(self.encoder.down, "0")`.
fn weight(name: &str) -> String {
    name.split('.').fold("self".to_owned(), |owner, part| match part.parse::<u64>() {
        Ok(_) => format!("getattr({owner}, \"{part}\")"),
        Err(_) => format!("{owner}.{part}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_through_numbered_submodules() {
        let name = "encoder.down.0.block.1.conv1.weight";
        let expected = "getattr(getattr(self.encoder.down, \"0\").block, \"1\").conv1.weight";
        assert_eq!(weight(name), expected);
    }

    #[test]
    fn numbers_come_out_as_they_were() {
        let numbers = [0.1f32, 1e-20, 3.0, -1.5];
        let text = expression(&Op::Floats(numbers.to_vec()), &[], "images");
        let inside = text.split(['[', ']']).nth(1).unwrap();
        let parsed: Vec<_> = inside.split(", ").map(|number| number.parse::<f64>().unwrap() as f32).collect();
        assert_eq!(parsed, numbers);
    }
}
