"""From a saved Spark pipeline to an ONNX graph in double precision, without a JVM."""
