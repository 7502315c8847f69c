//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use vqkit::{
    fidelity::{Features, Protocol},
    priors::{CfgSchedule, WeightDtype},
    sample::KeptRegion,
};

/// Learned image tokenizers, and the priors that write pictures with them.
#[derive(Debug, Parser)]
#[command(
    name = "vqkit",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 70 a bug in vqkit, 130 interrupted."
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// Where to compute: `auto` (a GPU where there is one), `cpu`, or `cuda:N`.
    #[arg(long, global = true, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// Threads of libtorch within one operation [default: one per core].
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<i32>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Train every missing stage of a recipe: features, template, tokenizer, tokens, priors, samples, report.
    #[command(after_help = "Example: vqkit train configs/vqvae-cifar10.toml --set tokenizer.train.steps=1000")]
    Train(Train),
    /// Draw new images from a trained run.
    #[command(after_help = "Examples:\n  vqkit sample runs/demo --class circle -n 16 --temperature 0.9 -o circles\n  \
                            vqkit sample runs/shapes-text --text \"a small red circle above a large blue square\" --cfg 2\n  \
                            vqkit sample runs/ade20k-template --template map.png -n 3\n  \
                            vqkit sample runs/demo --replay circles/samples.json -o once-more")]
    Sample(Sample),
    /// Finish a picture of which a part is kept.
    #[command(after_help = "Examples:\n  vqkit complete runs/demo picture.png --keep top=0.5 -n 8\n  \
                            vqkit complete runs/demo picture.png --mask mask.png --class circle")]
    Complete(Complete),
    /// Write the codebook indices of images as token files.
    #[command(after_help = "Example: vqkit tokenize runs/demo photographs/ -o tokens")]
    Tokenize(Images),
    /// Write images beside their reconstructions.
    #[command(after_help = "Example: vqkit reconstruct runs/demo photographs/ -o reconstructions")]
    Reconstruct(Images),
    /// Measure a run on its validation data, several runs side by side, or any two sets of pictures.
    #[command(
        after_help = "Examples:\n  vqkit evaluate runs/demo --json\n  vqkit evaluate runs/a runs/b runs/c -o comparison\n  \
                            vqkit evaluate --real photographs/ --fake samples.tar\n  \
                            vqkit evaluate --real statistics.npz --fake samples/ --weights pt_inception-2015-12-05-6726825d.pth"
    )]
    Evaluate(Evaluate),
    /// Say what is in a run, a checkpoint, a token file or a folder of images, how healthy the codebooks of a tokenizer are, and what a recipe would
    /// build.
    #[command(after_help = "Examples:\n  vqkit inspect runs/demo/tokens/train-00000.safetensors\n  \
                            vqkit inspect runs/demo -o codebooks\n  vqkit inspect configs/demo.toml")]
    Inspect(Inspect),
}

/// `vqkit train`
#[derive(Debug, Args)]
pub struct Train {
    /// The recipe, a TOML file.
    pub recipe: PathBuf,
    /// Override a key of the recipe; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// The run folder [default: runs/NAME].
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Go on with the run where its last checkpoint stands.
    #[arg(long)]
    pub resume: bool,
    /// Run one stage only: features, template, tokenizer, tokens, prior, samples or report.
    #[arg(long, value_name = "STAGE")]
    pub stage: Option<String>,
}

/// What `samples.json` says already.
const OF_A_RECORD: [&str; 23] = [
    "image",
    "class",
    "text",
    "embedding",
    "template",
    "template_of",
    "unconditional",
    "keep",
    "mask",
    "samples_per_condition",
    "cfg",
    "cfg_schedule",
    "count",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "best_of",
    "no_repeat_ngram",
    "size",
    "weight_dtype",
    "batch_size",
    "seed",
];

/// `vqkit sample`
#[derive(Debug, Args)]
pub struct Sample {
    /// The run folder.
    pub run: PathBuf,
    /// A picture of which a part is kept, as `--keep` or `--mask` says, and the rest drawn.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<PathBuf>,
    /// Draw the pictures of a `samples.json` once more, bit for bit; takes no other flag but `--out`.
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_A_RECORD)]
    pub replay: Option<PathBuf>,
    /// How.
    #[command(flatten)]
    pub how: How,
}

/// `vqkit complete`
#[derive(Debug, Args)]
pub struct Complete {
    /// The run folder.
    pub run: PathBuf,
    /// The picture of which a part is kept.
    pub image: PathBuf,
    /// How.
    #[command(flatten)]
    pub how: How,
}

/// What pictures are drawn under which conditions.
#[derive(Debug, Args)]
pub struct How {
    /// The class of every picture, by name or number [default: all in turn, or those of validation samples].
    #[arg(long, value_name = "CLASS", help_heading = "Conditions")]
    pub class: Option<String>,
    /// What every picture shows, in words such as the captions of the data [default: validation captions in turn, those that never occurred in
    /// training first].
    #[arg(long, value_name = "TEXT", help_heading = "Conditions")]
    pub text: Option<String>,
    /// A safetensors file of vectors `[L, D]`, as the run was trained on; each of its tensors in turn, in the order of their names
    /// [default: those of validation samples in turn].
    #[arg(long, value_name = "FILE", help_heading = "Conditions")]
    pub embedding: Option<PathBuf>,
    /// The template of every picture, in a file: a label map, a depth map, edges, a small picture, as the run was trained on
    /// [default: validation templates in turn].
    #[arg(long, value_name = "IMAGE", conflicts_with = "template_of", help_heading = "Conditions")]
    pub template: Option<PathBuf>,
    /// An image of which the template is derived, for runs whose templates are.
    #[arg(long, value_name = "IMAGE", help_heading = "Conditions")]
    pub template_of: Option<PathBuf>,
    /// Leave out all conditions, for priors that were trained with dropout of them.
    #[arg(long, help_heading = "Conditions")]
    pub unconditional: bool,
    /// The part of the picture that is kept: top=S, bottom=S, left=S or right=S, S a share such as 0.5.
    #[arg(long, value_name = "PART", conflicts_with = "mask", help_heading = "Conditions")]
    pub keep: Option<KeptRegion>,
    /// A picture of the same size: what is brighter than half is kept.
    #[arg(long, value_name = "IMAGE", help_heading = "Conditions")]
    pub mask: Option<PathBuf>,
    /// Draw N pictures for every condition.
    #[arg(long, value_name = "N", help_heading = "Conditions")]
    pub samples_per_condition: Option<usize>,
    /// Strength of classifier-free guidance, of priors that were trained with dropout of their condition; 1 is none.
    #[arg(long, value_name = "SCALE", allow_negative_numbers = true, help_heading = "Conditions")]
    pub cfg: Option<f64>,
    /// How guidance goes along the picture: constant, linear, cosine, or first=N, for the first N codes only.
    #[arg(long, value_name = "SCHEDULE", help_heading = "Conditions")]
    pub cfg_schedule: Option<CfgSchedule>,
    /// How many pictures [default: the recipe's].
    #[arg(short = 'n', long, value_name = "N")]
    pub count: Option<usize>,
    /// Divides the logits: below 1 keeps to what is likely, 0 always takes the likeliest [default: the recipe's].
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub temperature: Option<f64>,
    /// Draw among the K likeliest codes only.
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub top_k: Option<i64>,
    /// Draw among the likeliest codes that together have this probability.
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub top_p: Option<f64>,
    /// Draw among the codes that are at least P times as probable as the likeliest.
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub min_p: Option<f64>,
    /// Draw every picture N times and keep the one that is likeliest under the priors.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub best_of: Option<i64>,
    /// Draw no code that would end a sequence of N codes that stands in the picture already.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub no_repeat_ngram: Option<i64>,
    /// Height and width in pixels of pictures larger than those that the run was trained on, such as 64x128.
    #[arg(long, value_name = "HxW", value_parser = size)]
    pub size: Option<[u32; 2]>,
    /// Arithmetic of the priors' weights: fp32, and bf16 or int8 for priors that have them [default: the recipe's].
    #[arg(long, value_name = "DTYPE")]
    pub weight_dtype: Option<WeightDtype>,
    /// How many pictures are drawn at once; they do not depend on it [default: the recipe's].
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Seed of the noise [default: the recipe's].
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// The folder to write, which must not exist [default: samples-N inside the run, by the first number that is free].
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `vqkit tokenize` and `vqkit reconstruct`
#[derive(Debug, Args)]
pub struct Images {
    /// A run folder with a trained tokenizer.
    pub model: PathBuf,
    /// A folder of images, or tar shards such as `name-{000..004}.tar`.
    pub images: PathBuf,
    /// The folder to write, which must not exist.
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
}

/// What concerns sets of pictures and no run.
const OF_SETS: [&str; 6] = ["real", "fake", "protocol", "features", "batch_size", "save_statistics"];

/// `vqkit evaluate`
#[derive(Debug, Args)]
pub struct Evaluate {
    /// Run folders: the report of each is written anew; of several, a table sets them side by side.
    #[arg(required_unless_present = "real", conflicts_with_all = OF_SETS)]
    pub runs: Vec<PathBuf>,
    /// Real pictures: a folder, tar archives, statistics that were saved, or an .npz of pytorch-fid's.
    #[arg(long, value_name = "PATH", requires = "fake", help_heading = "Any two sets of pictures")]
    pub real: Option<PathBuf>,
    /// Generated pictures, likewise.
    #[arg(long, value_name = "PATH", requires = "real", help_heading = "Any two sets of pictures")]
    pub fake: Option<PathBuf>,
    /// How pictures come before the network: pytorch-fid, clean-fid or own-size [default: the network's usual way].
    #[arg(long, value_name = "NAME", requires = "real", help_heading = "Any two sets of pictures")]
    pub protocol: Option<Protocol>,
    /// The network: inception, or vgg-cifar10, which comes with vqkit and is for small pictures.
    #[arg(long, value_name = "NETWORK", default_value = "inception", help_heading = "Any two sets of pictures")]
    pub features: Features,
    /// Pictures that the network looks at at once.
    #[arg(long, value_name = "N", default_value_t = 50, help_heading = "Any two sets of pictures", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch_size: u32,
    /// Write the statistics of the real pictures into a new file, to be given as --real.
    #[arg(long, value_name = "FILE", requires = "real", help_heading = "Any two sets of pictures")]
    pub save_statistics: Option<PathBuf>,
    /// Weights of Inception, as pytorch-fid publishes them (.pth or .safetensors); of runs, adds figures by it [default: of two sets,
    /// fetched by name].
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Write the comparison of several runs, as a page and as JSON, into this folder, which must not exist.
    #[arg(short, long, value_name = "DIR", conflicts_with = "real")]
    pub out: Option<PathBuf>,
}

/// `vqkit inspect`
#[derive(Debug, Args)]
pub struct Inspect {
    /// A run folder, a checkpoint folder, a weights file, a token file, a recipe, or images: a folder, or tar shards.
    pub path: PathBuf,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
    /// The folder to write, which must not exist, with pictures of every codebook: the use of its codes, where they lie, and
    /// what each decodes to.
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

fn size(text: &str) -> Result<[u32; 2], String> {
    let sides = text.split_once('x').and_then(|(height, width)| Some([height.parse().ok()?, width.parse().ok()?]));
    sides.ok_or_else(|| "must be height and width in pixels, such as 64x128".into())
}
