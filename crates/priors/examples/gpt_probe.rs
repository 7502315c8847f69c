use std::time::Instant;
use tch::{Device, nn};
use vqkit_priors::*;
fn main() {
    tch::set_num_threads(2);
    let _g = tch::no_grad_guard();
    let vs = nn::VarStore::new(Device::Cpu);
    let gpt = Gpt2Config::new(12, 8, 512).build(&vs.root(), &PriorSpec::new(vec![1024], [16, 16])).unwrap();
    for batch in [1, 16] {
        for _ in 0..3 {
            let t = Instant::now();
            let mut cursor = gpt.cursor(&Condition::none(), batch).unwrap();
            let start = t.elapsed();
            let t = Instant::now();
            for _ in 0..256 {
                let logits = cursor.logits().unwrap();
                cursor.push(&logits.argmax(-1, false)).unwrap();
            }
            let s = t.elapsed().as_secs_f64();
            println!("batch {batch}: start {:.0} ms, {:.2} ms a step, {:.0} tokens/s", start.as_secs_f64() * 1e3, s / 256.0 * 1e3, 256.0 * batch as f64 / s);
        }
    }
}
