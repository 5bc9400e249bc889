"""ONNX, a graph of standard operations that onnxruntime and many others run, on servers, phones and in browsers."""
