//! Captions as token ids: a byte-pair encoding trained on them, or any `tokenizer.json`.

use std::path::Path;

use tch::{Device, Kind, Tensor};
use tokenizers::{
    AddedToken, DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    TokenizerBuilder,
    models::bpe::{BPE, BpeTrainerBuilder},
    normalizers::{Lowercase, NFKC, Sequence},
    pre_tokenizers::whitespace::Whitespace,
};
use vqkit_priors::Text;
use vqkit_recipe::{InvalidRequest, TextCondition};
use vqkit_run::{RunError, files};

use crate::{error::Result, error::TokensError};

/// The token for a character that no caption of the training data has.
const UNKNOWN: &str = "<unk>";

/// Largest size of a `tokenizer.json`, in bytes.
const LONGEST: u64 = 1 << 28;

/// Characters of a caption that are read for every token of `condition.text.length`. Time grows with the square of the longest word, and
/// no vocabulary has words as long as this on average.
const CHARACTERS_PER_TOKEN: usize = 64;

/// Turns text into `<start> ids <end>` of at most a given number of tokens, left-padded.
///
/// `<start>` and `<end>` are the two ids after those of the tokenizer, so that any `tokenizer.json` can be used; its
/// own special tokens are not added.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    tokenizer: tokenizers::Tokenizer,
    length: usize,
}

/// The ids of a text, `<start>` and `<end>` included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids(Vec<i64>);

impl TextTokenizer {
    /// Trains a byte-pair encoding (Sennrich et al. 2016) on captions, in lower case, within words; the result depends
    /// only on the captions.
    ///
    /// # Errors
    /// When there is nothing to train on.
    pub fn train(captions: impl Iterator<Item = String> + Send, config: &TextCondition) -> Result<Self> {
        let train = || -> tokenizers::Result<tokenizers::Tokenizer> {
            let unknown = AddedToken::from(UNKNOWN, true);
            let trainer = BpeTrainerBuilder::new().vocab_size(config.vocabulary).show_progress(false);
            let mut tokenizer = TokenizerBuilder::<
                BPE,
                NormalizerWrapper,
                PreTokenizerWrapper,
                PostProcessorWrapper,
                DecoderWrapper,
            >::new()
            .with_model(BPE::builder().unk_token(UNKNOWN.into()).build()?)
            .with_normalizer(Some(Sequence::new(vec![NFKC.into(), Lowercase.into()]).into()))
            .with_pre_tokenizer(Some(Whitespace {}.into()))
            .build()?;
            let captions = captions.map(|caption| bounded(&caption, config.length).to_owned());
            tokenizer.train(&mut trainer.special_tokens(vec![unknown]).build(), captions)?;
            tokenizer.to_string(false)?.parse()
        };
        let tokenizer = train().map_err(|error| usage(&format!("cannot be trained on the captions: {error}")))?;
        Ok(Self { tokenizer, length: config.length })
    }

    /// Reads a `tokenizer.json`; its settings of truncation and padding are ignored.
    ///
    /// # Errors
    /// When it is missing, or is not such a file.
    pub fn read(path: &Path, length: usize) -> Result<Self> {
        let bad = |error: tokenizers::Error| RunError::artifact(path, format!("not a tokenizer.json: {error}"));
        let text = files::read_text(path, LONGEST)?;
        let mut tokenizer = text.parse::<tokenizers::Tokenizer>().map_err(bad)?;
        tokenizer.with_truncation(None).map_err(bad)?;
        tokenizer.with_padding(None);
        Ok(Self { tokenizer, length })
    }

    /// Writes the `tokenizer.json`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = self.tokenizer.to_string(true).map_err(|error| RunError::artifact(path, error.to_string()))?;
        Ok(files::write(path, text.as_bytes())?)
    }

    /// Number of ids, `<start>` and `<end>` included.
    pub fn vocabulary(&self) -> i64 {
        self.own_ids() + 2
    }

    /// The ids of a caption of the data, cut where it is too long; the second value says whether it was cut.
    ///
    /// # Errors
    /// When the tokenizer refuses the text.
    pub fn encode_caption(&self, caption: &str) -> Result<(Ids, bool)> {
        let read = bounded(caption, self.length);
        let mut ids = self.ids(read)?;
        let room = self.length - 2;
        let is_cut = ids.len() > room || read.len() < caption.len();
        ids.truncate(room);
        Ok((self.enclosed(&ids), is_cut))
    }

    /// The ids of a prompt.
    ///
    /// # Errors
    /// [`InvalidRequest`] for one that is too long, or of which every token is out of vocabulary.
    pub fn encode_prompt(&self, prompt: &str) -> Result<Ids> {
        let refuse = |reason: String| Err(InvalidRequest::option("text", reason).into());
        let read = bounded(prompt, self.length);
        if read.len() < prompt.len() {
            let (found, most) = (prompt.chars().count(), read.chars().count());
            return refuse(format!("has {found} characters, of which this run reads at most {most}; make it shorter"));
        }
        let ids = self.ids(prompt)?;
        let room = self.length - 2;
        if ids.len() > room {
            return refuse(format!("`{prompt}` has {} tokens, but this run reads {room}; make it shorter", ids.len()));
        }
        let unknown = self.unknown();
        match ids.iter().all(|id| Some(*id) == unknown) {
            true => refuse(format!(
                "every token of `{prompt}` is out of vocabulary; use words of the captions that the run was trained on"
            )),
            false => Ok(self.enclosed(&ids)),
        }
    }

    /// Texts as tensors for the priors.
    pub fn batch(&self, texts: &[Ids], device: Device) -> Text {
        let length = self.length;
        let padded = |ids: &Ids| [vec![0; length - ids.0.len()], ids.0.clone()].concat();
        let ids: Vec<i64> = texts.iter().flat_map(padded).collect();
        let lengths: Vec<i64> = texts.iter().map(|ids| ids.0.len() as i64).collect();
        let ids = Tensor::from_slice(&ids).view([texts.len() as i64, length as i64]).to_device(device);
        Text { ids, mask: mask(&Tensor::from_slice(&lengths), length as i64, device) }
    }

    fn ids(&self, text: &str) -> Result<Vec<i64>> {
        let encoding = self.tokenizer.encode(text, false);
        let encoding = encoding.map_err(|error| usage(&format!("cannot read `{text}`: {error}")))?;
        Ok(encoding.get_ids().iter().map(|id| i64::from(*id)).collect())
    }

    fn enclosed(&self, ids: &[i64]) -> Ids {
        let start = self.own_ids();
        Ids([&[start], ids, &[start + 1]].concat())
    }

    fn own_ids(&self) -> i64 {
        // Ids need not be dense: a `tokenizer.json` may leave some out.
        let largest = self.tokenizer.get_vocab(true).into_values().max();
        largest.map_or(0, |id| i64::from(id) + 1)
    }

    /// The id of out-of-vocabulary tokens.
    fn unknown(&self) -> Option<i64> {
        let token = match self.tokenizer.get_model() {
            ModelWrapper::BPE(model) => model.get_unk_token().clone(),
            ModelWrapper::WordPiece(model) => Some(model.unk_token.clone()),
            ModelWrapper::WordLevel(model) => Some(model.unk_token.clone()),
            ModelWrapper::Unigram(_) => Some(UNKNOWN.into()),
        };
        token.and_then(|token| self.tokenizer.token_to_id(&token)).map(i64::from)
    }
}

/// Mask, bool `[B, length]`, of the positions that count: the last `lengths` `[B]`.
pub fn mask(lengths: &Tensor, length: i64, device: Device) -> Tensor {
    let places = Tensor::arange(length, (Kind::Int64, device));
    let first = length - lengths.to_device(device);
    places.unsqueeze(0).ge_tensor(&first.unsqueeze(1))
}

/// The beginning of a text that `length` tokens can hold.
fn bounded(text: &str, length: usize) -> &str {
    match text.char_indices().nth(length * CHARACTERS_PER_TOKEN) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

fn usage(reason: &str) -> TokensError {
    InvalidRequest::key("condition.text", reason).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTIONS: [&str; 2] =
        ["a small red circle above a large blue square", "a large green cross left of a small red circle"];

    fn trained(length: usize) -> TextTokenizer {
        let config = TextCondition { length, ..TextCondition::default() };
        TextTokenizer::train(CAPTIONS.iter().map(ToString::to_string), &config).unwrap()
    }

    #[test]
    fn a_word_of_the_captions_is_one_token_whatever_its_case() {
        let tokenizer = trained(12);
        assert_eq!(tokenizer.encode_prompt("a RED circle").unwrap(), tokenizer.encode_prompt("a red  circle").unwrap());
        let Ids(ids) = tokenizer.encode_prompt("a red circle").unwrap();
        assert_eq!((ids.len(), ids[0], ids[4]), (5, tokenizer.vocabulary() - 2, tokenizer.vocabulary() - 1));
    }

    #[test]
    fn a_word_without_end_is_cut_before_it_is_read() {
        let tokenizer = trained(12);
        let endless = "red".repeat(1 << 20);
        let (ids, is_cut) = tokenizer.encode_caption(&endless).unwrap();
        assert!(is_cut && ids.0.len() == 12);
        assert!(tokenizer.encode_prompt(&endless).unwrap_err().to_string().contains("3145728 characters"));
        let config = TextCondition { length: 12, ..TextCondition::default() };
        TextTokenizer::train([endless, "a red circle".into()].into_iter(), &config).unwrap();
    }

    #[test]
    fn what_is_unknown_or_too_long_is_refused() {
        let tokenizer = trained(5);
        for text in ["", "  ", "§§ §"] {
            let error = tokenizer.encode_prompt(text).unwrap_err().to_string();
            assert!(error.contains("text: ") && error.contains("out of vocabulary"), "{error}");
        }
        assert!(tokenizer.encode_prompt("a § circle").is_ok());
        let error = tokenizer.encode_prompt(CAPTIONS[0]).unwrap_err().to_string();
        assert!(error.contains("9 tokens") && error.contains("reads 3"), "{error}");
        let (Ids(cut), is_cut) = tokenizer.encode_caption(CAPTIONS[0]).unwrap();
        assert!(is_cut && cut.len() == 5);
    }

    #[test]
    fn padding_lies_in_front() {
        let tokenizer = trained(6);
        let texts = ["red", "a red circle"].map(|text| tokenizer.encode_prompt(text).unwrap());
        let Text { ids, mask } = tokenizer.batch(&texts, Device::Cpu);
        assert_eq!((ids.size(), mask.size()), (vec![2, 6], vec![2, 6]));
        assert_eq!(Vec::<bool>::try_from(mask.get(0)).unwrap(), [false, false, false, true, true, true]);
        assert_eq!(Vec::<i64>::try_from(ids.get(1)).unwrap()[1..], texts[1].0);
    }

    #[test]
    fn a_file_gives_the_same_ids_and_training_is_repeatable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.json");
        let tokenizer = trained(12);
        tokenizer.write(&path).unwrap();
        let read = TextTokenizer::read(&path, 12).unwrap();
        assert_eq!(read.vocabulary(), tokenizer.vocabulary());
        for caption in CAPTIONS {
            assert_eq!(read.encode_caption(caption).unwrap(), tokenizer.encode_caption(caption).unwrap());
        }
        let bytes = std::fs::read(&path).unwrap();
        trained(12).write(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        std::fs::write(&path, "{}").unwrap();
        assert!(TextTokenizer::read(&path, 12).unwrap_err().to_string().contains("tokenizer.json"));
    }
}
