# PostgreSQL of Debian's package, as the public image has it.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/ && install -d -o postgres -g postgres /var/lib/postgresql/data
COPY postgres-entrypoint /usr/local/bin/
ENTRYPOINT ["postgres-entrypoint"]
