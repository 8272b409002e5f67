# The S3 server that scripts/s3-server builds, as the public image has it.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY versitygw /usr/local/bin/
ENTRYPOINT ["versitygw"]
