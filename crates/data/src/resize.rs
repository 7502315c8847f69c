//! Resizing bytes of the kinds of pixels that there are here.

use fast_image_resize::{
    IntoImageView, IntoImageViewMut, PixelTrait, PixelType, ResizeError, ResizeOptions, Resizer,
    images::{Image, ImageRef},
    pixels::{F32, U8, U8x3, U16},
};

/// Resizes `source` into `target`, both of one of four kinds of pixels. [`Resizer::resize`] takes all of fifteen, whose code
/// takes a third of this crate's compilation.
pub(crate) fn resize(
    resizer: &mut Resizer,
    source: &ImageRef<'_>,
    target: &mut Image<'_>,
    options: &ResizeOptions,
) -> Result<(), ResizeError> {
    match source.pixel_type() {
        PixelType::U8 => typed::<U8>(resizer, source, target, options),
        PixelType::U8x3 => typed::<U8x3>(resizer, source, target, options),
        PixelType::U16 => typed::<U16>(resizer, source, target, options),
        PixelType::F32 => typed::<F32>(resizer, source, target, options),
        _ => Err(ResizeError::PixelTypesAreDifferent),
    }
}

fn typed<P: PixelTrait>(
    resizer: &mut Resizer,
    source: &ImageRef<'_>,
    target: &mut Image<'_>,
    options: &ResizeOptions,
) -> Result<(), ResizeError> {
    let source = source.image_view::<P>().ok_or(ResizeError::PixelTypesAreDifferent)?;
    let mut target = target.image_view_mut::<P>().ok_or(ResizeError::PixelTypesAreDifferent)?;
    resizer.resize_typed(&source, &mut target, options)
}
