//! The label map of objects that were read.

use super::{ObservedObject, patch::coverage};

/// The label map of `found`, `width` x `height` values row by row: 0 for the background, else the class of the shape plus 1; what a
/// template of these objects would be. Smaller objects lie above larger ones.
///
/// ```
/// use vqkit_data::shapes::{self, Scene};
///
/// let rendered = Scene::new(7, 0, 3).render(64)?;
/// let map = shapes::label_map(&shapes::read(&rendered.image), 64, 64);
/// let template = rendered.template.to_gray8();
/// let equal = map.iter().zip(&template).filter(|(read, rendered)| read == rendered).count();
/// assert!(equal as f64 > 0.97 * 64.0 * 64.0);
/// # Ok::<(), vqkit_data::DataError>(())
/// ```
pub fn label_map(found: &[ObservedObject], width: u32, height: u32) -> Vec<u8> {
    let mut labels = vec![0; width as usize * height as usize];
    let side = f64::from(width.min(height));
    for object in found {
        let middle = object.middle.map(|at| at * side);
        let size = [width as usize, height as usize];
        coverage(object.looks.shape, middle, object.width * side, size, |place, covered| {
            if covered >= 0.5 {
                labels[place] = object.looks.shape.class() as u8 + 1;
            }
        });
    }
    labels
}
