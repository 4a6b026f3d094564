"""The parts of the ffmpeg emitter; `sseprog.emitters.ffmpeg` is what others use."""
