//! Completion: the part of an image that is kept.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use vqkit_data::{Color, DataConfig, Picture, Pixels, Transform};
use vqkit_models::grids;
use vqkit_priors::KnownTokens;
use vqkit_recipe::{InvalidRequest, Recipe};
use vqkit_run::Context;
use vqkit_tokens::TokenRows;
use vqkit_torch::TokenGrid;

use crate::{error::Result, networks::Networks};

/// An image, and the part of it that is kept.
#[derive(Debug, Clone)]
pub struct InpaintMask {
    /// The image file.
    pub image: PathBuf,
    /// The part that is kept.
    pub side: KeptRegion,
}

/// The part of an image that is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum KeptRegion {
    /// The upper part of this share of its height.
    Top(f64),
    /// The lower part.
    Bottom(f64),
    /// The left part of this share of its width.
    Left(f64),
    /// The right part.
    Right(f64),
    /// Where a mask, an image of the same size, is brighter than half.
    Mask(PathBuf),
}

impl std::str::FromStr for KeptRegion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("must be top=S, bottom=S, left=S or right=S with a share S in (0, 1), got {text}");
        let (side, share) = text.split_once('=').ok_or_else(wrong)?;
        let share: f64 = share.parse().ok().filter(|share| *share > 0.0 && *share < 1.0).ok_or_else(wrong)?;
        match side {
            "top" => Ok(Self::Top(share)),
            "bottom" => Ok(Self::Bottom(share)),
            "left" => Ok(Self::Left(share)),
            "right" => Ok(Self::Right(share)),
            _ => Err(wrong()),
        }
    }
}

/// The tokens that are kept, level by level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptTokens {
    /// All tokens of the image.
    tokens: Vec<TokenRows>,
    /// 1 where a token is kept, else 0.
    mask: Vec<TokenRows>,
}

impl InpaintMask {
    /// The tokens of the image, and which are kept: those whose pixels are all kept.
    ///
    /// # Errors
    /// When an image cannot be read, the mask has another size, or no token is kept.
    pub fn of_image(&self, recipe: &Recipe, networks: &Networks, context: &Context) -> Result<KeptTokens> {
        let picture = read(&self.image, "image", recipe)?;
        let transform = Transform::new(&recipe.data);
        let (size, channels) = (transform.size() as i64, transform.channels() as i64);
        let refuse = |error: vqkit_data::DataError| {
            InvalidRequest::option("image", format!("{}: {error}", self.image.display()))
        };
        let values = Tensor::from_slice(&transform.image(&picture).map_err(refuse)?).view([1, channels, size, size]);
        let kind = context.kind(recipe.head.precision);
        let levels = grids::grids(networks.tokenizer(), &values.to_device(context.device), kind, context)?;
        let kept = self.side.pixels(recipe, &picture)?;
        let mask = |grid: &TokenGrid| {
            let [height, width] = [0, 1].map(|axis| grid.spatial()[axis]);
            // A token is kept where the least of its pixels is.
            let least = -(-kept.unsqueeze(0).unsqueeze(0)).adaptive_max_pool2d([height, width]).0;
            let indices = least.gt(0.5).to_kind(Kind::Int64);
            TokenRows::of(&TokenGrid { indices, sizes: vec![2] })
        };
        let masks: Vec<TokenRows> = levels.iter().map(mask).collect();
        if masks
            .iter()
            .map(TokenRows::tensor)
            .collect::<Result<Vec<_>, _>>()?
            .iter()
            .all(|mask| mask.max().int64_value(&[]) == 0)
        {
            return Err(InvalidRequest::option("keep", "this keeps no whole token; keep more of the image").into());
        }
        Ok(KeptTokens { tokens: levels.iter().map(TokenRows::of).collect(), mask: masks })
    }
}

impl KeptRegion {
    /// Which pixels are kept, f32 `[H, W]` of 0 and 1.
    fn pixels(&self, recipe: &Recipe, picture: &Picture) -> Result<Tensor> {
        let size = recipe.data.image_size as i64;
        let pixels = Tensor::zeros([size, size], (Kind::Float, tch::Device::Cpu));
        let part = |share: f64| ((share * size as f64).round() as i64).clamp(0, size);
        let (axis, first, length) = match self {
            Self::Top(share) => (0, 0, part(*share)),
            Self::Bottom(share) => (0, size - part(*share), part(*share)),
            Self::Left(share) => (1, 0, part(*share)),
            Self::Right(share) => (1, size - part(*share), part(*share)),
            Self::Mask(path) => return masked(path, recipe, picture),
        };
        let _ = pixels.narrow(axis, first, length).fill_(1);
        Ok(pixels)
    }
}

/// A mask is cropped and resized in the same way as its image.
fn masked(path: &Path, recipe: &Recipe, picture: &Picture) -> Result<Tensor> {
    let mask = read(path, "mask", recipe)?;
    let (found, wanted) = ([mask.width(), mask.height()], [picture.width(), picture.height()]);
    if found != wanted {
        let message = format!(
            "{} has {} x {} pixels, its image has {} x {}",
            path.display(),
            found[0],
            found[1],
            wanted[0],
            wanted[1]
        );
        return Err(InvalidRequest::option("mask", message).into());
    }
    let refuse = |error: vqkit_data::DataError| InvalidRequest::option("mask", format!("{error}"));
    let gray = Picture::new(mask.width(), mask.height(), Pixels::Gray8(mask.to_gray8())).map_err(refuse)?;
    let transform = Transform::new(&DataConfig { color: Color::Gray, ..recipe.data.clone() });
    let size = transform.size() as i64;
    let values = Tensor::from_slice(&transform.image(&gray).map_err(refuse)?).view([size, size]);
    Ok(values.gt(0.0).to_kind(Kind::Float))
}

fn read(path: &Path, what: &'static str, recipe: &Recipe) -> Result<Picture> {
    let picture = recipe.data.reader().read(path);
    Ok(picture.map_err(|error| InvalidRequest::option(what, error.to_string()))?)
}

impl KeptTokens {
    /// The known tokens of every image of a batch, level by level.
    ///
    /// # Errors
    /// When the tokens do not belong to such levels.
    pub fn given(&self, batch: usize, networks: &Networks) -> Result<Vec<KnownTokens>> {
        let sizes = networks.tokenizer().codebook_sizes();
        if self.tokens.len() != sizes.len() || self.mask.len() != sizes.len() {
            let message = format!("the kept tokens do not have the run's {} levels", sizes.len());
            return Err(InvalidRequest::option("replay", message).into());
        }
        let of_level = |((tokens, mask), sizes): ((&TokenRows, &TokenRows), Vec<i64>)| -> Result<KnownTokens> {
            let repeated = |tensor: Tensor| {
                let shape = [&[batch as i64], tensor.size().as_slice()].concat();
                tensor.unsqueeze(0).expand(shape, false).contiguous().to_device(networks.device())
            };
            let mask = repeated(mask.tensor()?.squeeze_dim(0)).to_kind(Kind::Bool);
            Ok(KnownTokens::new(TokenGrid::new(repeated(tokens.tensor()?), sizes)?, mask)?)
        };
        self.tokens.iter().zip(&self.mask).zip(sizes).map(of_level).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_read_from_their_words() {
        assert_eq!("top=0.5".parse(), Ok(KeptRegion::Top(0.5)));
        assert_eq!("right=0.25".parse(), Ok(KeptRegion::Right(0.25)));
        for wrong in ["top", "top=", "top=0", "top=1", "middle=0.5", "left=x"] {
            assert!(wrong.parse::<KeptRegion>().unwrap_err().contains("share"), "{wrong}");
        }
    }
}
