# One machine, two commands: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
PENSTOCK := .venv/bin/penstock
READY := .venv/.ready
MLEAP := var/function-mleap/app/penstock-function.jar
# Where it is set, every process would compile every module that it imports, again and again.
unexport PYTHONDONTWRITEBYTECODE

HAVE_CLUSTER = test -n "$$KUBECONFIG" || { echo "no cluster: set KUBECONFIG to that of kind, minikube or a real one" >&2; exit 1; }

.PHONY: help demo test test-services test-mleap test-cluster test-faults test-compose lint bench up down lock clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(READY)  ## a real year of flights becomes a live function, through every gate
	@.venv/bin/python -m demo

test: $(READY) lint  ## prove it: lint, types, import rules and every test
	@.venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-services: $(READY)  ## the same on S3 and PostgreSQL; needs Go and PostgreSQL's server programs
	@scripts/s3-server
	@.venv/bin/python -m pytest -m services tests/services

test-mleap: $(READY) $(MLEAP)  ## the function runtime in Java beside Spark and the one in Python; needs a JDK 17 and Maven
	@.venv/bin/python -m pytest -m maven -n 2 --dist loadfile tests/images/function_mleap

test-cluster: $(READY) $(MLEAP)  ## on the Kubernetes that KUBECONFIG names; needs Go, a JDK 17, Maven, kubectl and buildah or docker
	@$(HAVE_CLUSTER)
	@scripts/s3-server
	@.venv/bin/python -m pytest -m cluster tests/cluster

test-faults: $(READY)  ## there, whatever a run rests on killed or away, at each stage (an hour)
	@$(HAVE_CLUSTER)
	@scripts/s3-server
	@.venv/bin/python -m pytest -m faults tests/cluster

test-compose: $(READY) $(MLEAP)  ## the images, and docker-compose.yml on a Docker engine with Compose v2; needs Go, a JDK 17 and Maven
	@scripts/s3-server
	@.venv/bin/python -m pytest -m compose tests/compose

lint: $(READY)  ## style, types and import rules
	@.venv/bin/ruff check . && .venv/bin/ruff format --check -q .
	@.venv/bin/mypy penstock plugins
	@.venv/bin/lint-imports --no-cache

bench: $(READY)  ## every speed that the docs claim, beside its peers
	@.venv/bin/python -m bench

up: $(READY)  ## start Airflow, MLflow and the function host on loopback; prints URLs and the login
	@$(PENSTOCK) up

down: $(READY)  ## stop exactly what `up` and `demo` started
	@$(PENSTOCK) down

lock: $(READY)  ## resolve requirements.in and the rooms' locks again
	@scripts/lock

clean: down  ## remove the environment and all state
	rm -rf .venv var

# The libraries that the registry gives must be the very ones of the lock.
$(MLEAP): images/function-mleap/pom.xml images/function-mleap/jars.txt $(shell find images/function-mleap/src -name '*.java')
	@rm -rf $(@D) && mvn --quiet --batch-mode --file images/function-mleap package
	@cd $(@D)/lib && sed 's#  .*/#  #' $(CURDIR)/images/function-mleap/jars.txt | sha256sum --check --quiet --strict || { rm $(CURDIR)/$@; exit 1; }
	@touch $@

$(READY): requirements.txt pyproject.toml scripts/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit("Penstock needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	@$(PYTHON) scripts/install.py
