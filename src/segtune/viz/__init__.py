"""Pictures of segmentations: `overlay` draws one, `panels` puts several side by side."""
