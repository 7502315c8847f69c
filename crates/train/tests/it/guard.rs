//! Values that are not finite are found and named.

use tch::no_grad;

use crate::adversarial::AdversarialTraining;

fn poke(name: &str, value: f64, training: &AdversarialTraining) {
    let variable = &training.network.vs.variables()[name];
    let _ = no_grad(|| variable.view([-1]).narrow(0, 0, 1).fill_(value));
}

#[test]
fn a_gradient_that_is_not_finite_is_named() {
    let mut training = AdversarialTraining::new(&[]);
    assert_eq!(training.network.broken_gradient(), None, "without gradients none is broken");
    training.run(1, 0);
    assert_eq!(training.network.broken_gradient(), None);
    let _ =
        training.network.vs.variables()["decoder.conv_out.weight"].grad().view([-1]).narrow(0, 5, 1).fill_(f64::NAN);
    assert_eq!(training.network.broken_gradient(), Some("decoder.conv_out.weight"));
    assert_eq!(training.discriminator.broken_gradient(), None);
    training.network.clip().unwrap();
    assert!(training.network.gradient_norm().unwrap().is_nan());
    training.network.zero_grad();
    assert_eq!(training.network.broken_gradient(), None);
}

#[test]
fn a_weight_or_buffer_that_is_not_finite_is_named() {
    for (name, value) in [("encoder.conv_in.bias", f64::NAN), ("quantize.age", f64::INFINITY)] {
        let training = AdversarialTraining::new(&[]);
        assert_eq!(training.network.broken_weight(), None);
        poke(name, value, &training);
        assert_eq!(training.network.broken_weight().as_deref(), Some(name));
    }
}

#[test]
fn a_broken_weight_shows_in_the_terms_of_the_step() {
    let mut training = AdversarialTraining::new(&[]);
    poke("decoder.conv_out.bias", f64::NAN, &training);
    let terms = training.run(1, 0).terms.metrics();
    let (name, value) = &terms[0];
    assert!(name == "reconstruction" && value.is_nan(), "{terms:?}");
}
