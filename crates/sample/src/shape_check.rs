//! Shape accuracy: whether samples show what they were conditioned on, according to the checker of the built-in shapes.

use std::fmt;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};
use vqkit_data::{
    Batch, Color, SourceConfig,
    shapes::{self, ParsedCaption, Problem, Shape},
};
use vqkit_metrics::LabelAgreement;
use vqkit_recipe::Recipe;
use vqkit_run::RgbImage;

use crate::{error::Result, prompt::Prompt};

/// A count out of a total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ratio {
    /// Number of right ones.
    pub right: usize,
    /// Total number.
    pub of: usize,
}

/// The results of the checker.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ShapeAccuracy {
    /// Images whose largest object has the shape of the class.
    pub class: Option<Ratio>,
    /// Images with every object of the text: shape and colour.
    pub shape_and_colour: Option<Ratio>,
    /// Images with every object of the text: shape, colour and size.
    pub shape_colour_and_size: Option<Ratio>,
    /// Images in which every object is where the text says, of those whose text describes positions.
    pub relation: Option<Ratio>,
    /// Intersection over union of template and image, over the pixels of all images, averaged over the shapes and the
    /// background.
    pub template_mean_iou: Option<f64>,
    /// The same without the background.
    pub template_mean_iou_of_shapes: Option<f64>,
}

/// Checks images one by one.
#[derive(Debug)]
pub struct ShapeChecker {
    class: Ratio,
    shape_and_colour: Ratio,
    shape_colour_and_size: Ratio,
    relation: Ratio,
    agreement: Option<LabelAgreement>,
}

impl Ratio {
    fn count(&mut self, right: bool) {
        self.right += usize::from(right);
        self.of += 1;
    }

    fn if_any(self) -> Option<Self> {
        (self.of > 0).then_some(self)
    }

    /// In percent.
    pub fn percent(self) -> f64 {
        100.0 * self.right as f64 / self.of as f64
    }
}

impl ShapeChecker {
    /// A checker for a recipe whose data are the built-in shapes in colour; `None` for other data.
    pub fn of(recipe: &Recipe) -> Option<Self> {
        let is_shapes = matches!(recipe.data.source, SourceConfig::Shapes(_)) && recipe.data.color == Color::Rgb;
        is_shapes.then(|| Self {
            class: Ratio::default(),
            shape_and_colour: Ratio::default(),
            shape_colour_and_size: Ratio::default(),
            relation: Ratio::default(),
            agreement: None,
        })
    }

    /// Checks an image. `template`: its label map `[1, H, W]`, as in the data.
    ///
    /// # Errors
    /// When it has no pixels.
    pub fn add(&mut self, picture: &RgbImage, prompt: &Prompt, template: Option<&Tensor>) -> Result<()> {
        let picture = picture.to_data()?;
        let found = shapes::read(&picture);
        if let Some(class) = &prompt.class {
            self.class.count(found.first().is_some_and(|object| object.looks.shape.name() == class));
        }
        if let Some(request) = prompt.text.as_deref().and_then(ParsedCaption::parse) {
            let looks = |object: &shapes::Looks| (object.shape.class(), object.hue.name());
            let wanted = request.objects().map(|object| looks(&object)).collect();
            let there = found.iter().map(|object| looks(&object.looks)).collect();
            self.shape_and_colour.count(is_within(wanted, there));
            let problems = shapes::check(&picture, &request.to_string()).problems;
            self.shape_colour_and_size.count(!problems.iter().any(|problem| matches!(problem, Problem::Missing(_))));
            if !request.others.is_empty() {
                self.relation.count(shapes::lies_as_asked(&request, &found));
            }
        }
        if let Some(template) = template.filter(|template| template.size()[0] == 1) {
            let [height, width] = [template.size()[1], template.size()[2]];
            let map = shapes::label_map(&found, width as u32, height as u32);
            let map = Tensor::from_slice(&map).to_kind(Kind::Int64).view([height, width]);
            let agreement = self.agreement.get_or_insert_with(|| LabelAgreement::new(Shape::ALL.len() as i64 + 1));
            agreement.add(&map, &template.get(0).to_kind(Kind::Int64));
        }
        Ok(())
    }

    /// Checks the reconstructions of a batch. `classes`: their names.
    ///
    /// # Errors
    /// When an image has no pixels.
    pub fn add_batch(&mut self, pictures: &[RgbImage], batch: &Batch, classes: &[String]) -> Result<()> {
        for (index, picture) in pictures.iter().enumerate() {
            let class = usize::try_from(batch.classes[index]).ok().and_then(|class| classes.get(class).cloned());
            let prompt = Prompt { class, text: batch.captions[index].clone(), ..Prompt::default() };
            self.add(picture, &prompt, None)?;
        }
        Ok(())
    }

    /// The results; `None` where nothing was checked.
    pub fn finish(self) -> Option<ShapeAccuracy> {
        let shape_accuracy = ShapeAccuracy {
            class: self.class.if_any(),
            shape_and_colour: self.shape_and_colour.if_any(),
            shape_colour_and_size: self.shape_colour_and_size.if_any(),
            relation: self.relation.if_any(),
            template_mean_iou: self.agreement.as_ref().map(LabelAgreement::mean_iou),
            template_mean_iou_of_shapes: self.agreement.as_ref().map(|agreement| agreement.mean_iou_from(1)),
        };
        let found = shape_accuracy.class.is_some()
            || shape_accuracy.shape_and_colour.is_some()
            || shape_accuracy.template_mean_iou.is_some();
        found.then_some(shape_accuracy)
    }
}

/// Whether everything in `wanted` is in `there`, at least as often.
fn is_within<T: PartialEq>(wanted: Vec<T>, mut there: Vec<T>) -> bool {
    wanted.into_iter().all(|one| match there.iter().position(|other| *other == one) {
        Some(place) => {
            there.swap_remove(place);
            true
        }
        None => false,
    })
}

impl fmt::Display for ShapeAccuracy {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let shares = [
            ("class", self.class),
            ("shape and colour of every object", self.shape_and_colour),
            ("shape, colour and size of every object", self.shape_colour_and_size),
            ("relations", self.relation),
        ];
        for (what, share) in shares {
            if let Some(share) = share {
                writeln!(out, "  {what} right in {} of {} ({:.1} %)", share.right, share.of, share.percent())?;
            }
        }
        if let (Some(all), Some(shapes)) = (self.template_mean_iou, self.template_mean_iou_of_shapes) {
            writeln!(out, "  mean IoU with the template {all:.3}, of the shapes alone {shapes:.3}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_wanted_must_be_there() {
        assert!(is_within(vec![1, 2], vec![2, 3, 1]));
        assert!(!is_within(vec![1, 1], vec![1, 2]));
        assert!(is_within(Vec::<i32>::new(), vec![]));
    }
}
