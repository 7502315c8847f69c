//! Where weight decay belongs.

use tch::Tensor;

/// Whether weight decay falls on the parameter `name`: on matrices and kernels, which are multiplied with what they read; not
/// on biases and norms, nor on tables of vectors (tokens, positions, codebooks), of which a step touches a few rows.
///
/// minGPT's rule, which goes by modules; here by names, of which tables end in one of their customary words.
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// use vqkit_torch::optim::decays;
///
/// let matrix = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
/// assert!(decays("blocks.0.attn.key.weight", &matrix) && decays("cls_embedding.cap_proj.fc1.weight", &matrix));
/// assert!(!decays("blocks.0.conv.weight_g", &Tensor::zeros([4, 1], (Kind::Float, Device::Cpu))));
/// assert!(!decays("tok_emb.weight", &matrix) && !decays("pos_emb", &matrix) && !decays("quantize.embedding.weight", &matrix));
/// ```
pub fn decays(name: &str, value: &Tensor) -> bool {
    let mut words =
        name.rsplit('.').skip_while(|word| *word == "weight" || word.bytes().all(|byte| byte.is_ascii_digit()));
    let last = words.next().unwrap_or(name);
    let is_table = TABLES.iter().any(|table| last == *table || last.ends_with(&format!("_{table}")));
    // Of weight normalisation, the gains are `[out, 1, ..]`.
    let is_gain = value.size().iter().skip(1).all(|length| *length == 1) && name.ends_with("weight_g");
    value.dim() >= 2 && !is_table && !is_gain
}

/// What tables are called.
const TABLES: [&str; 6] = ["emb", "embedding", "embeddings", "embed", "embedding_table", "codebook"];
