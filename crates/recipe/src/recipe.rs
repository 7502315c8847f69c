//! The recipe: one TOML file that describes an experiment and is validated once, when it is loaded.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vqkit_config::{ConfigError, Document, Section};
use vqkit_data::DataConfig;
use vqkit_priors::PriorConfig;

use crate::{
    classifier::Features, condition::Condition, error::InvalidRequest, error::RecipeError, error::Result,
    finetune::PriorFinetune, loss::PerceptualConfig, modality::Modality, pretrained, sections::Evaluate,
    sections::Precision, sections::Sample, sections::TokenSource, tokenizer, tokenizer::Tokenizer, train::Train,
};

/// Largest size of a recipe, in bytes.
const LONGEST: u64 = 1 << 24;

/// Every key and section that a recipe may have at its top.
const KEYS: [&str; 11] = [
    "name",
    "seed",
    "precision",
    "data",
    "features",
    "template",
    "tokenizer",
    "condition",
    "prior",
    "sample",
    "evaluate",
];

/// A recipe: data, tokenizer, conditions, priors and samples of one experiment. Every value in it is valid.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Recipe {
    /// The keys in front of the sections.
    #[schemars(flatten)]
    pub head: Head,
    /// The images: where they come from and how they are prepared.
    pub data: DataConfig,
    /// A small classifier whose features serve as a perceptual loss.
    pub features: Option<Features>,
    /// The tokenizer of the images. A recipe has this section, or `[features]`, or both.
    #[schemars(schema_with = "tokenizer::own_or_inherited", default)]
    pub tokenizer: Option<Tokenizer>,
    /// `tokenizer.from`: the run whose tokenizer is reused, until resolving puts it into `tokenizer`.
    #[schemars(skip)]
    pub tokenizer_from: Option<PathBuf>,
    /// The tokenizer of the templates. A recipe has this section where it has `[condition.template]`.
    #[schemars(schema_with = "tokenizer::own_or_inherited", default)]
    pub template: Option<Tokenizer>,
    /// `template.from`, as `tokenizer_from`.
    #[schemars(skip)]
    pub template_from: Option<PathBuf>,
    /// What steers the priors. Default: nothing.
    #[schemars(default)]
    pub condition: Condition,
    /// The priors, which together predict every level of the tokenizer, coarse first. Default: none, only a tokenizer
    /// is trained.
    #[schemars(rename = "prior", default)]
    pub priors: Vec<Prior>,
    /// The images that a run generates at its end, and the defaults of `vqkit sample`.
    #[schemars(default)]
    pub sample: Sample,
    /// How the metrics of the report are computed.
    #[schemars(default)]
    pub evaluate: Evaluate,
}

/// The keys in front of the sections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Name of the experiment; its run is written to `runs/NAME`.
    pub name: String,
    /// Seed of everything random. Default 0.
    #[serde(default)]
    pub seed: u64,
    /// Number format of the computations of encoder, decoder and prior; distances, losses and the optimizer always use
    /// fp32. Default `"auto"`.
    #[serde(default)]
    pub precision: Precision,
}

/// One `[[prior]]` with its `[prior.train]` and perhaps `[prior.finetune]`.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Prior {
    /// The network.
    #[schemars(flatten)]
    pub network: PriorConfig,
    /// The levels of the tokenizer that this prior predicts, coarse first. Default: prior number `i` predicts level
    /// `i`.
    pub predicts: Option<Vec<usize>>,
    /// Where the training tokens come from; validation tokens always come from files. Default `"files"`.
    #[schemars(default)]
    pub tokens: TokenSource,
    /// How it is trained.
    pub train: Train,
    /// Weights that training starts from. Default: random ones.
    pub finetune: Option<PriorFinetune>,
}

impl Recipe {
    /// Reads a file, applies the overrides (`key=value`) and validates the result.
    ///
    /// # Errors
    /// For a file that cannot be read, a key that is unknown, missing or of the wrong type, and a value that is not
    /// allowed; each message names file, line and key.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let read = |file: File| {
            let mut text = String::new();
            file.take(LONGEST + 1).read_to_string(&mut text).map(|_| text)
        };
        let text = File::open(path).and_then(read).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => {
                InvalidRequest::option("recipe", format!("there is no recipe {}", path.display())).into()
            }
            _ => RecipeError::Read { path: path.to_owned(), source },
        })?;
        if text.len() as u64 > LONGEST {
            return Err(RecipeError::TooLong { path: path.to_owned(), longest: LONGEST });
        }
        Self::parse(&path.display().to_string(), &text, overrides)
    }

    /// As [`Recipe::read`], from a text; errors name it `origin`.
    ///
    /// # Errors
    /// As [`Recipe::read`].
    pub fn parse(origin: &str, text: &str, overrides: &[String]) -> Result<Self> {
        let mut document = Document::parse(origin, text)?;
        for assignment in overrides {
            document.set(assignment)?;
        }
        Ok(Self::from_section(document.into_section())?)
    }

    fn from_section(mut root: Section) -> Result<Self, ConfigError> {
        root.expect_only(&KEYS)?;
        let data_section = root.require("data")?;
        let features_section = root.take("features")?;
        let tokenizer_section = match features_section {
            Some(_) => root.take("tokenizer")?,
            None => Some(root.require("tokenizer")?),
        };
        let (tokenizer_section, tokenizer_from) = own_or_inherited(tokenizer_section)?;
        let condition_section = root.take("condition")?;
        let condition = Condition::from_section(condition_section.as_ref())?;
        let template_section = root.take("template")?;
        check_template(&root, condition_section.as_ref(), &condition, template_section.as_ref())?;
        let (template_section, template_from) = own_or_inherited(template_section)?;
        let prior_sections = root.take_list("prior")?;
        let sample_section = root.take("sample")?;
        let evaluate = read_evaluate(root.take("evaluate")?.as_ref())?;
        let head: Head = root.read()?;
        check_name(&root, &head.name)?;

        let mut data: DataConfig = data_section.read()?;
        data.validate().map_err(|error| data_error(&data_section, &error))?;
        check_embedding(condition_section.as_ref(), &condition, &data)?;
        data.template = condition.template.clone();
        data.validate().map_err(|error| data_error(condition_section.as_ref().unwrap_or(&data_section), &error))?;
        let features = features_section.map(|section| Features::from_section(section, data.image_size)).transpose()?;
        let build = |section, modality: Modality| {
            Tokenizer::from_section(section, modality.input_spec(&data), features.is_some())
        };
        let tokenizer = tokenizer_section.map(|section| build(section, Modality::Image)).transpose()?;
        let template = template_section.map(|section| build(section, Modality::Template)).transpose()?;
        let priors = prior_sections.into_iter().map(Prior::from_section).collect::<Result<_, _>>()?;
        let sample = read_or_default::<Sample>(sample_section.as_ref())?;
        if let (Err((key, reason)), Some(section)) = (sample.validate(), &sample_section) {
            return Err(section.error_at(key, &reason));
        }
        Ok(Self {
            head,
            data,
            features,
            tokenizer,
            tokenizer_from,
            template,
            template_from,
            condition,
            priors,
            sample,
            evaluate,
        })
    }

    /// `[features]`.
    ///
    /// # Errors
    /// [`InvalidRequest`] where the recipe has none.
    pub fn features(&self) -> Result<&Features> {
        self.features.as_ref().ok_or_else(|| InvalidRequest::key("features", "the recipe has no [features]").into())
    }

    /// The section of the tokenizer of a modality: `[tokenizer]` or `[template]`.
    ///
    /// # Errors
    /// [`InvalidRequest`] where the recipe has none, or where `from` names a run that was not resolved yet.
    pub fn tokenizer(&self, modality: Modality) -> Result<&Tokenizer> {
        let (section, from) = match modality {
            Modality::Image => (&self.tokenizer, &self.tokenizer_from),
            Modality::Template => (&self.template, &self.template_from),
        };
        let name = modality.stage();
        let missing = || match from {
            None => InvalidRequest::key(name, format!("the recipe has no [{name}]")),
            Some(_) => InvalidRequest::key(format!("{name}.from"), "was not resolved"),
        };
        section.as_ref().ok_or_else(|| missing().into())
    }

    /// The modalities that have a tokenizer, trained or inherited: none where the recipe trains only `[features]`, else
    /// images, and templates where there are templates.
    pub fn modalities(&self) -> Vec<Modality> {
        let images = self.tokenizer.is_some() || self.tokenizer_from.is_some();
        let templates = self.template.is_some() || self.template_from.is_some();
        let all = [(templates, Modality::Template), (images, Modality::Image)];
        all.into_iter().filter(|(is_there, _)| *is_there).map(|(_, modality)| modality).collect()
    }

    /// Files and folders with weights that training starts from, and the keys that name them.
    pub fn files(&self) -> Vec<(&'static str, &Path)> {
        let classifier = self.features.iter().filter_map(|features| features.network.from.as_deref());
        let mut files: Vec<_> = classifier.map(|path| ("features.from", path)).collect();
        for (section, finetune_key, weights_key) in [
            (&self.tokenizer, "tokenizer.finetune.from", "tokenizer.loss.perceptual.weights"),
            (&self.template, "template.finetune.from", "template.loss.perceptual.weights"),
        ] {
            let Some(tokenizer) = section.as_ref().filter(|tokenizer| tokenizer.inherited.is_none()) else { continue };
            let finetune = tokenizer.finetune.iter().map(|finetune| finetune.from.as_path());
            files.extend(finetune.map(|path| (finetune_key, path)));
            let perceptual = tokenizer.loss.perceptual.iter().flat_map(PerceptualConfig::files);
            files.extend(perceptual.map(|path| (weights_key, path)));
        }
        let text = self.condition.text.iter().filter_map(|text| text.tokenizer.as_deref());
        files.extend(text.map(|path| ("condition.text.tokenizer", path)));
        files
    }

    /// The resolved recipe as TOML, with every default written out; reading it gives the same recipe.
    ///
    /// # Errors
    /// When TOML cannot express a value.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string(&self.to_table()?)?)
    }

    pub(crate) fn to_table(&self) -> Result<toml::Table> {
        let write = || -> Result<toml::Table, toml::ser::Error> {
            let mut root = toml::Table::try_from(&self.head)?;
            root.insert("data".into(), toml::Value::try_from(&self.data)?);
            if let Some(features) = &self.features {
                root.insert("features".into(), features.to_table()?.into());
            }
            for (name, section, from) in [
                ("tokenizer", &self.tokenizer, &self.tokenizer_from),
                ("template", &self.template, &self.template_from),
            ] {
                if let Some(tokenizer) = section {
                    root.insert(name.into(), tokenizer.to_table()?.into());
                }
                if let Some(from) = from {
                    root.insert(name.into(), pretrained::to_table(from).into());
                }
            }
            root.insert("condition".into(), toml::Value::try_from(&self.condition)?);
            let priors = self.priors.iter().map(|prior| Ok(prior.to_table()?.into()));
            root.insert("prior".into(), toml::Value::Array(priors.collect::<Result<_, toml::ser::Error>>()?));
            root.insert("sample".into(), toml::Value::try_from(&self.sample)?);
            root.insert("evaluate".into(), toml::Value::try_from(self.evaluate)?);
            Ok(root)
        };
        Ok(write()?)
    }
}

impl Prior {
    fn from_section(mut section: Section) -> Result<Self, ConfigError> {
        let train = Train::from_section(&section.require("train")?)?;
        let predicts = section.take_value("predicts")?;
        let tokens = section.take_value("tokens")?.unwrap_or_default();
        let finetune = section.take("finetune")?;
        let finetune = finetune.map(|section| PriorFinetune::from_section(&section)).transpose()?;
        let network: PriorConfig = section.read()?;
        network.validate().map_err(|error| match &error {
            vqkit_priors::PriorError::Config { field, reason } => section.error_at(field, reason),
            _ => section.error(&error.to_string()),
        })?;
        Ok(Self { network, predicts, tokens, train, finetune })
    }

    fn to_table(&self) -> Result<toml::Table, toml::ser::Error> {
        let mut table = toml::Table::try_from(&self.network)?;
        if let Some(predicts) = &self.predicts {
            table.insert("predicts".into(), toml::Value::try_from(predicts)?);
        }
        table.insert("tokens".into(), toml::Value::try_from(self.tokens)?);
        table.insert("train".into(), toml::Value::try_from(&self.train)?);
        if let Some(finetune) = &self.finetune {
            table.insert("finetune".into(), toml::Value::try_from(finetune)?);
        }
        Ok(table)
    }
}

fn read_evaluate(section: Option<&Section>) -> Result<Evaluate, ConfigError> {
    let evaluate = read_or_default::<Evaluate>(section)?;
    match (evaluate.batch_size, section) {
        (0, Some(section)) => Err(section.error_at("batch_size", "must be at least 1")),
        _ => Ok(evaluate),
    }
}

fn read_or_default<T: serde::de::DeserializeOwned + Default>(section: Option<&Section>) -> Result<T, ConfigError> {
    section.map_or_else(|| Ok(T::default()), Section::read)
}

/// The section of a tokenizer, or the run that the tokenizer is inherited from.
fn own_or_inherited(mut section: Option<Section>) -> Result<(Option<Section>, Option<PathBuf>), ConfigError> {
    let from = section.as_mut().map_or(Ok(None), pretrained::take_from)?;
    Ok((section.filter(|_| from.is_none()), from))
}

/// Checks that samples that are conditioned on embeddings have some.
fn check_embedding(section: Option<&Section>, condition: &Condition, data: &DataConfig) -> Result<(), ConfigError> {
    let lacks = condition.embedding.as_ref().is_some_and(|embedding| embedding.train.is_empty());
    match section.filter(|_| lacks && !data.source.is_none()) {
        Some(section) => Err(section.error_at("embedding.train", "lists no file")),
        None => Ok(()),
    }
}

/// Checks that a recipe has both or neither of `[condition.template]` and `[template]`.
fn check_template(
    root: &Section,
    condition: Option<&Section>,
    wanted: &Condition,
    template: Option<&Section>,
) -> Result<(), ConfigError> {
    match (&wanted.template, template) {
        (Some(_), None) => {
            Err(condition.unwrap_or(root).error_at("template", "needs [template], the tokenizer of the templates"))
        }
        (None, Some(template)) => Err(template.error("needs [condition.template], which says what the templates are")),
        _ => Ok(()),
    }
}

fn check_name(root: &Section, name: &str) -> Result<(), ConfigError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
        let message = format!("`{name}` cannot name a folder; use letters, digits, `-`, `_` and `.`");
        return Err(root.error_at("name", &message));
    }
    Ok(())
}

fn data_error(section: &Section, error: &vqkit_data::DataError) -> ConfigError {
    match error {
        vqkit_data::DataError::Config { field, reason } => section.error_at(field, reason),
        _ => section.error(&error.to_string()),
    }
}
