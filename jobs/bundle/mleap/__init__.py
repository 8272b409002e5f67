"""From a saved Spark pipeline to a Bundle.ML zip, which MLeap's runtime scores in a JVM without Spark.

Nothing of MLeap is needed to write one. Source of the format: the serializers and ops of mleap-runtime and bundle-ml 0.20.
"""
