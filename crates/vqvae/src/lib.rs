//! vqvae
