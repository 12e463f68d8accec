"""The GAN: from a latent to Gaussians. Does not know how images are drawn or how it is trained."""
