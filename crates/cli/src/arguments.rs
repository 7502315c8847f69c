//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use vqkit::{
    fidelity::{Features, Protocol},
    interop::Format,
    priors::{BestBy, CfgSchedule, WeightDtype},
    sample::KeptRegion,
};

/// Train learned image tokenizers (VQ-VAE, VQGAN) and priors over their tokens, and generate images with them.
#[derive(Debug, Parser)]
#[command(
    name = "vqkit",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 70 a bug in vqkit, 130 interrupted."
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Where to compute: auto (a GPU if there is one), cpu, or cuda:N.
    #[arg(long, global = true, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// Threads that libtorch uses within one operation [default: one per core].
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<i32>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented recipe for a folder of images, which fits the data, this machine and a time.
    #[command(
        after_help = "Example:\n  vqkit new photographs/ -o photographs.toml --hours 2\n  vqkit train photographs.toml"
    )]
    New(New),
    /// Train every missing stage of a recipe: features, template, tokenizer, tokens, priors, samples, report.
    #[command(after_help = "Example: vqkit train configs/vqvae-cifar10.toml --set tokenizer.train.steps=1000")]
    Train(Train),
    /// Measure for a minute what a recipe takes on this machine: hours, memory and disk.
    #[command(after_help = "Example: vqkit estimate configs/vqgan-cifar10.toml --set data.root=FOLDER")]
    Estimate(Estimate),
    /// Generate images with a trained run.
    #[command(after_help = "Examples:\n  vqkit sample runs/demo --class circle -n 16 --temperature 0.9 -o circles\n  \
                            vqkit sample runs/shapes-text --text \"a small red circle above a large blue square\" --cfg 2\n  \
                            vqkit sample runs/ade20k-template --template map.png -n 3\n  \
                            vqkit sample runs/demo --replay circles/samples.json -o once-more")]
    Sample(Sample),
    /// Complete an image: keep a part of it and generate the rest.
    #[command(after_help = "Examples:\n  vqkit complete runs/demo picture.png --keep top=0.5 -n 8\n  \
                            vqkit complete runs/demo picture.png --mask mask.png --class circle")]
    Complete(Complete),
    /// Encode images, and write their tokens as token files.
    #[command(after_help = "Example: vqkit tokenize runs/demo photographs/ -o tokens")]
    Tokenize(Images),
    /// Encode and decode images, and write each beside its reconstruction.
    #[command(after_help = "Example: vqkit reconstruct runs/demo photographs/ -o reconstructions")]
    Reconstruct(Images),
    /// Compute the metrics of a run on its validation data, of several runs side by side, or of any two sets of images.
    #[command(
        after_help = "Examples:\n  vqkit evaluate runs/demo --json\n  vqkit evaluate runs/a runs/b runs/c -o comparison\n  \
                            vqkit evaluate --real photographs/ --fake samples.tar\n  \
                            vqkit evaluate --real statistics.npz --fake samples/ --weights pt_inception-2015-12-05-6726825d.pth"
    )]
    Evaluate(Evaluate),
    /// Compare trained tokenizers on your own images: quality of reconstructions, usage of codes, bits per pixel, time.
    #[command(after_help = "Examples:\n  vqkit compare runs/a runs/b --data photographs/ -o comparison\n  \
                            vqkit compare runs/a runs/b --data photographs/ --size 128 --features vgg-cifar10 --json")]
    Compare(Compare),
    /// Describe a run, a checkpoint of any project, a token file, a recipe or a folder of images; of a tokenizer, also how well its
    /// codebooks are used.
    #[command(after_help = "Examples:\n  vqkit inspect runs/demo/tokens/train-00000.safetensors\n  \
                            vqkit inspect runs/demo -o codebooks\n  vqkit inspect configs/demo.toml\n  vqkit inspect last.ckpt")]
    Inspect(Inspect),
    /// Turn checkpoints of other projects into a run: a tokenizer, a prior with its tokenizer, or several priors.
    #[command(after_help = "Examples:\n  vqkit import vq_ds16_c2i.pt -o runs/llamagen-vq\n  \
                            vqkit import vq_ds16_c2i.pt c2i_B_256.pt -o runs/llamagen\n  \
                            vqkit import runs/llamagen-vq c2i_L_256.pt -o runs/llamagen-l\n  \
                            vqkit import last.ckpt --config project.yaml -o runs/taming")]
    Import(Import),
    /// Write a run in the files of other projects: weights under their names, graphs that run without vqkit, or tokens.
    #[command(after_help = "Examples:\n  vqkit export runs/taming --to diffusers -o for-diffusers\n  \
                            vqkit export runs/demo --to onnx -o onnx\n  \
                            vqkit export runs/demo --to npy -o tokens")]
    Export(Export),
    /// List published checkpoints, or fetch one.
    #[command(subcommand)]
    Weights(Weights),
    /// Upload a folder to the Hugging Face Hub.
    #[command(after_help = "Example: vqkit push exported hf://me/my-tokenizer --message \"first version\"")]
    Push(Push),
    /// Print the JSON Schema of recipes, with which editors complete and check keys.
    #[command(
        after_help = "Example: vqkit schema > recipe.schema.json, and as first line of a recipe: #:schema ./recipe.schema.json"
    )]
    Schema,
}

/// `vqkit train`
#[derive(Debug, Args)]
pub struct Train {
    /// The recipe, a TOML file.
    pub recipe: PathBuf,
    /// Override a key of the recipe, such as tokenizer.train.steps=1000; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// The run folder [default: runs/NAME].
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Continue the run from its last checkpoint.
    #[arg(long)]
    pub resume: bool,
    /// Run only one stage: features, template, tokenizer, tokens, prior, samples or report.
    #[arg(long, value_name = "STAGE")]
    pub stage: Option<String>,
}

/// Options that `samples.json` holds.
const OF_A_RECORD: [&str; 26] = [
    "image",
    "class",
    "class_index",
    "text",
    "text_file",
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
    "best_by",
    "no_repeat_ngram",
    "size",
    "weight_dtype",
    "batch_size",
    "seed",
];

/// `vqkit new`
#[derive(Debug, Args)]
pub struct New {
    /// A folder of images, flat or with a folder for each class; a folder with train/ and val/; a folder with images/ and a
    /// folder of templates; tar shards such as name-{000..004}.tar; or a manifest (.csv, .tsv, .jsonl).
    pub images: PathBuf,
    /// The recipe to write, which must not exist; its name becomes that of the run.
    #[arg(short, long, value_name = "FILE")]
    pub out: PathBuf,
    /// How long training may take, in hours.
    #[arg(long, value_name = "H", default_value_t = 1.0, allow_negative_numbers = true)]
    pub hours: f64,
    /// How long to measure this machine, in seconds; start-up comes on top.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// `vqkit estimate`
#[derive(Debug, Args)]
pub struct Estimate {
    /// The recipe.
    pub recipe: PathBuf,
    /// Override a key of the recipe; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// How long to measure, in seconds; start-up comes on top.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// `vqkit sample`
#[derive(Debug, Args)]
pub struct Sample {
    /// The run folder.
    #[arg(required_unless_present = "model")]
    pub run: Option<PathBuf>,
    /// A run by its name in the folder of models, in place of its path: $VQKIT_MODELS, else assets/models of the checkout that vqkit
    /// was built in and share/vqkit/models beside the binary's folder. An unknown name lists what there is.
    #[arg(long, value_name = "NAME", conflicts_with = "run")]
    pub model: Option<String>,
    /// An image of which a part is kept, as --keep or --mask says; the rest is generated.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<PathBuf>,
    /// Generate the images of a samples.json again, bit for bit; excludes every other option but --out.
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_A_RECORD)]
    pub replay: Option<PathBuf>,
    /// The conditions and the options of the sampler.
    #[command(flatten)]
    pub how: How,
}

/// `vqkit complete`
#[derive(Debug, Args)]
pub struct Complete {
    /// The run folder.
    pub run: PathBuf,
    /// The image of which a part is kept.
    pub image: PathBuf,
    /// The conditions and the options of the sampler.
    #[command(flatten)]
    pub how: How,
}

/// Conditions, and options of the sampler.
#[derive(Debug, Args)]
pub struct How {
    /// The class of every image, by name, or by number if no class is named by a number [default: each class in turn, or those of
    /// validation samples].
    #[arg(long, value_name = "CLASS", help_heading = "Conditions")]
    pub class: Option<String>,
    /// The class of every image, by its position in the list of classes, from 0.
    #[arg(long, value_name = "N", conflicts_with = "class", help_heading = "Conditions")]
    pub class_index: Option<usize>,
    /// A caption, in the manner of the data's captions; several are used in turn [default: validation captions in turn, those that do
    /// not occur in the training data first].
    #[arg(long, value_name = "TEXT", help_heading = "Conditions")]
    pub text: Vec<String>,
    /// A file with a caption on each line, used in turn.
    #[arg(long, value_name = "FILE", conflicts_with = "text", help_heading = "Conditions")]
    pub text_file: Option<PathBuf>,
    /// A safetensors file of embeddings, each a tensor [L, D] as in training; they are used in turn, in the order of their names
    /// [default: those of validation samples in turn].
    #[arg(long, value_name = "FILE", help_heading = "Conditions")]
    pub embedding: Option<PathBuf>,
    /// The template of every image: a file with a label map, a depth map, edges or a small image, as in training
    /// [default: validation templates in turn].
    #[arg(long, value_name = "IMAGE", conflicts_with = "template_of", help_heading = "Conditions")]
    pub template: Option<PathBuf>,
    /// An image from which the template is derived, for runs with derived templates (edges, smaller or grey images).
    #[arg(long, value_name = "IMAGE", help_heading = "Conditions")]
    pub template_of: Option<PathBuf>,
    /// Generate without any condition; needs priors that were trained with dropout of their condition.
    #[arg(long, help_heading = "Conditions")]
    pub unconditional: bool,
    /// The part of the image that is kept: top=S, bottom=S, left=S or right=S, where S is a share such as 0.5.
    #[arg(long, value_name = "PART", conflicts_with = "mask", help_heading = "Conditions")]
    pub keep: Option<KeptRegion>,
    /// A mask of the same size as the image: pixels brighter than half are kept.
    #[arg(long, value_name = "IMAGE", help_heading = "Conditions")]
    pub mask: Option<PathBuf>,
    /// Generate N images for every condition.
    #[arg(long, value_name = "N", help_heading = "Conditions")]
    pub samples_per_condition: Option<usize>,
    /// Scale of classifier-free guidance; 1 is none. Needs priors that were trained with dropout of their condition.
    #[arg(long, value_name = "SCALE", allow_negative_numbers = true, help_heading = "Conditions")]
    pub cfg: Option<f64>,
    /// How the scale of guidance changes over the tokens: constant, linear, cosine, or first=N, for the first N tokens only.
    #[arg(long, value_name = "SCHEDULE", help_heading = "Conditions")]
    pub cfg_schedule: Option<CfgSchedule>,
    /// Number of images [default: the recipe's].
    #[arg(short = 'n', long, value_name = "N")]
    pub count: Option<usize>,
    /// Divides the logits: below 1 favours likely tokens, 0 always takes the likeliest [default: the recipe's].
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub temperature: Option<f64>,
    /// Draw each token from the K likeliest only.
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub top_k: Option<i64>,
    /// Draw each token from the likeliest that together have probability P.
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub top_p: Option<f64>,
    /// Draw each token from those at least P times as probable as the likeliest.
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub min_p: Option<f64>,
    /// Generate every image N times and keep the best.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub best_of: Option<i64>,
    /// What is best with --best-of: likelihood, the likeliest image; condition, the image that fits its condition best
    /// [default: the recipe's].
    #[arg(long, value_name = "SCORE")]
    pub best_by: Option<BestBy>,
    /// Draw no token that would repeat a sequence of N tokens of the same image.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub no_repeat_ngram: Option<i64>,
    /// Height and width in pixels of images larger than in training, such as 64x128.
    #[arg(long, value_name = "HxW", value_parser = size)]
    pub size: Option<[u32; 2]>,
    /// Data type of the priors' weights: fp32; bf16 or int8 where a prior has them [default: the recipe's].
    #[arg(long, value_name = "DTYPE")]
    pub weight_dtype: Option<WeightDtype>,
    /// Number of images generated at once; the images do not depend on it [default: the recipe's].
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Seed of the random numbers [default: the recipe's].
    #[arg(long, value_name = "SEED")]
    pub seed: Option<u64>,
    /// The folder to write, which must not exist [default: samples-N inside the run, or MODEL-N here, with
    /// the first free number].
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `vqkit tokenize` and `vqkit reconstruct`
#[derive(Debug, Args)]
pub struct Images {
    /// A run folder with a trained tokenizer.
    pub model: PathBuf,
    /// A folder of images, tar shards such as name-{000..004}.tar, or images and patterns such as photographs/*.jpg.
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// The folder to write, which must not exist.
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Options for two sets of images, without a run.
const OF_SETS: [&str; 6] = ["real", "fake", "protocol", "features", "batch_size", "save_statistics"];

/// `vqkit evaluate`
#[derive(Debug, Args)]
pub struct Evaluate {
    /// Run folders. The report of each is written anew; several are compared in a table.
    #[arg(required_unless_present = "real", conflicts_with_all = OF_SETS)]
    pub runs: Vec<PathBuf>,
    /// Real images: a folder, tar archives, saved statistics, or an .npz of pytorch-fid.
    #[arg(long, value_name = "PATH", requires = "fake", help_heading = "Any two sets of images")]
    pub real: Option<PathBuf>,
    /// Generated images, in the same forms.
    #[arg(long, value_name = "PATH", requires = "real", help_heading = "Any two sets of images")]
    pub fake: Option<PathBuf>,
    /// How images are prepared for the network: pytorch-fid, clean-fid or own-size [default: that of the network].
    #[arg(long, value_name = "NAME", requires = "real", help_heading = "Any two sets of images")]
    pub protocol: Option<Protocol>,
    /// The network: inception; vgg-cifar10, which comes with vqkit and is for small images; or classifier, the run of a recipe with
    /// [features] that --weights names. A classifier also says how many samples it assigns to their class.
    #[arg(long, value_name = "NETWORK", default_value = "inception", help_heading = "Any two sets of images")]
    pub features: Features,
    /// Number of images that pass through the network at once.
    #[arg(long, value_name = "N", default_value_t = 50, help_heading = "Any two sets of images", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch_size: u32,
    /// Write the statistics of the real images to a new file, which --real takes later.
    #[arg(long, value_name = "FILE", requires = "real", help_heading = "Any two sets of images")]
    pub save_statistics: Option<PathBuf>,
    /// Inception weights as pytorch-fid publishes them (.pth or .safetensors), also as hf://OWNER/NAME/FILE. For runs, adds FID and Inception Score; for two sets
    /// of images the default is to fetch them, and --features classifier takes the run of a classifier.
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Write the comparison of several runs, as a page and as JSON, into this folder, which must not exist.
    #[arg(short, long, value_name = "DIR", conflicts_with = "real")]
    pub out: Option<PathBuf>,
}

/// `vqkit compare`
#[derive(Debug, Args)]
pub struct Compare {
    /// Run folders, each with a trained tokenizer.
    #[arg(required = true, value_name = "TOKENIZER")]
    pub tokenizers: Vec<PathBuf>,
    /// A folder of images, tar shards such as name-{000..004}.tar, or images and patterns such as photographs/*.jpg.
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    pub data: Vec<PathBuf>,
    /// Prepare the images at N x N pixels for all, the same for every tokenizer [default: as each one's recipe says].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub size: Option<u32>,
    /// The network that compares reconstructions and images as sets: inception (rFID); vgg-cifar10, which comes with vqkit and is
    /// for small images; or classifier, the run of a recipe with [features] that --weights names.
    #[arg(long, value_name = "NETWORK", default_value = "inception")]
    pub features: Features,
    /// Inception weights as pytorch-fid publishes them (.pth or .safetensors) [default: those that were downloaded before, else no
    /// rFID].
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// How images are prepared for the network: pytorch-fid, clean-fid or own-size [default: that of the network].
    #[arg(long, value_name = "NAME")]
    pub protocol: Option<Protocol>,
    /// Weights of LPIPS: the state of the package lpips, or VGG16 and the heads of lpips, also as hf://OWNER/NAME/FILE [default: those
    /// that were downloaded before, else no LPIPS].
    #[arg(long, num_args = 1..=2, value_name = "FILE")]
    pub lpips: Vec<PathBuf>,
    /// Number of images that are encoded and decoded at once.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch_size: u32,
    /// Number of images that the page shows, evenly spread over the data.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub crops: u32,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
    /// The folder to write, which must not exist: index.html, compare.json and the crops as PNG files.
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `vqkit inspect`
#[derive(Debug, Args)]
pub struct Inspect {
    /// A run folder, a checkpoint, a folder of checkpoints, a token file, a recipe, or images: a folder, one with
    /// images/ and a folder of templates, tar shards, a manifest, or a single image; also hf://OWNER/NAME/FILE.
    pub path: PathBuf,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
    /// The folder to write, which must not exist, with charts of every codebook: how often each code is used, where the codes lie,
    /// and what each decodes to.
    #[arg(short, long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// `vqkit import`
#[derive(Debug, Args)]
pub struct Import {
    /// Checkpoints that belong together (.ckpt, .pt, .pth, .bin, .safetensors), folders of them, or hf://OWNER/NAME[/FILE]; also
    /// a run, whose tokenizer a prior is for.
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// The run folder to write, which must not exist.
    #[arg(short, long, value_name = "RUN")]
    pub out: PathBuf,
    /// The family, where names do not tell it, such as taming-vqgan [default: recognised by names and shapes].
    #[arg(long = "as", value_name = "FAMILY")]
    pub family: Option<String>,
    /// The YAML or JSON file that belongs to the checkpoint [default: the one beside it, if any].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which weights to take: ema, the averaged ones, or model, those of the optimizer [default: ema where there are any].
    #[arg(long, value_name = "WEIGHTS")]
    pub weights: Option<vqkit::foreign::Weights>,
    /// Width and height of the run's images in pixels [default: those of the configuration, else the usual ones].
    #[arg(long, value_name = "PIXELS")]
    pub image_size: Option<u32>,
    /// Import although tensors are missing or left over, and list what stays untrained.
    #[arg(long)]
    pub partial: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// `vqkit export`
#[derive(Debug, Args)]
pub struct Export {
    /// A run folder with a trained tokenizer.
    pub run: PathBuf,
    /// The format: run, diffusers, taming, llamagen, safetensors, torchscript, onnx, npy or webdataset.
    #[arg(long, value_name = "FORMAT")]
    pub to: Format,
    /// Type of the matrices and kernels in a run: fp32, or bf16, which halves the folder.
    #[arg(long, value_name = "DTYPE", default_value = "fp32")]
    pub dtype: StoredDtype,
    /// The folder to write, which must not exist.
    #[arg(short, long, value_name = "DIR")]
    pub out: PathBuf,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Type of the numbers in an exported run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum StoredDtype {
    /// 32-bit floats.
    Fp32,
    /// Rounded to bfloat16.
    Bf16,
}

/// `vqkit weights`
#[derive(Debug, Subcommand)]
pub enum Weights {
    /// List the published checkpoints that are known by name.
    List {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Fetch a checkpoint into the cache, and print its path and its SHA-256; a download that was cut goes on.
    #[command(
        after_help = "Examples:\n  vqkit weights fetch llamagen-vq-ds16\n  vqkit weights fetch hf://amused/amused-256/vqvae"
    )]
    Fetch {
        /// Its name in the list, or a location on the Hugging Face Hub: hf://OWNER/NAME[@REVISION][/PATH].
        name: String,
        /// Print JSON instead of text.
        #[arg(long)]
        json: bool,
    },
}

/// `vqkit push`
#[derive(Debug, Args)]
pub struct Push {
    /// The folder; what begins with a dot stays.
    pub folder: PathBuf,
    /// The repository: hf://OWNER/NAME, with /PATH for a folder in it. It is created if there is none.
    pub to: String,
    /// The message of the commit.
    #[arg(short, long, value_name = "TEXT", default_value = "Upload with vqkit")]
    pub message: String,
    /// Let only yourself see the repository, where it is created.
    #[arg(long)]
    pub private: bool,
}

fn size(text: &str) -> Result<[u32; 2], String> {
    let sides = text.split_once('x').and_then(|(height, width)| Some([height.parse().ok()?, width.parse().ok()?]));
    sides.ok_or_else(|| "must be height and width in pixels, such as 64x128".into())
}
