"""09: spectra, second-order pieces and surfaces."""
