"""Published networks as torch modules, one file each, and the writing of ONNX files."""
