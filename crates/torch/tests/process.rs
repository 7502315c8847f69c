//! State of the whole process; these tests share it, and so are one.

use tch::{Device, Kind, Tensor};
use vqkit_torch::{TorchError, determinism, rng};

const CPU: (Kind, Device) = (Kind::Float, Device::Cpu);

fn draw() -> Tensor {
    // An odd number of normal draws leaves one in the generator's cache, which the state has to carry.
    Tensor::randn([3], CPU)
}

#[test]
fn process_state_comes_back() -> Result<(), TorchError> {
    rng::manual_seed(Device::Cpu, 7)?;
    let first = draw();
    let state = rng::state(Device::Cpu)?;
    assert_eq!((state.kind(), state.device()), (Kind::Uint8, Device::Cpu));
    let second = draw();
    assert_ne!(first, second);
    rng::set_state(Device::Cpu, &state)?;
    assert_eq!(draw(), second);
    rng::manual_seed(Device::Cpu, 7)?;
    assert_eq!(draw(), first);

    let message = rng::set_state(Device::Cpu, &Tensor::zeros([3], CPU)).unwrap_err().to_string();
    assert!(message.starts_with("libtorch: "), "{message}");
    assert!(rng::state(Device::Vulkan).is_err());

    assert!(!determinism::is_on()?);
    determinism::set(true)?;
    assert!(determinism::is_on()?);
    // Has no deterministic form, so libtorch refuses it: the switch is really thrown.
    assert!(Tensor::zeros([4], CPU).f_put_(&Tensor::from_slice(&[0_i64]), &Tensor::ones([1], CPU), false).is_err());
    determinism::set(false)?;
    assert!(!determinism::is_on()?);
    Ok(())
}
