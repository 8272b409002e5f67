"""What the stages share: the job contract, progress, Spark, MLflow."""
