# make demo   sets everything up, then: synthesise -> train -> evaluate -> export -> score -> report
# make release  the model that ships with the package, from the real images in SHARED (two hours; STEPS=2000: half an hour)
# make finder   the model that finds numbers in whole photos and reads them; FINDER_STEPS=12000 take about an hour and a half, and
#             READER_STEPS=6000 one more; after make release
# make reader  trains the recogniser on for letters, displays, plates, stacked and longer numbers (about 100 minutes with bfloat16); after
#             make finder
# make free    the recogniser that commercial use may be made of, from drawn numbers and MNIST (about 100 minutes with bfloat16)
# make site   builds the documentation into build/site; make notebook runs docs/notebook.ipynb and stores what it shows
# make test   sets everything up, then: formatting, lint, types and the tests, of tests/faults a sample; make test-fast: the quick tests alone

PYTHON ?= python3
DEMO ?= demo
VENV := .venv
PY := $(VENV)/bin/python
TWO_WORKERS := --direct_num_workers=2 --direct_running_mode=multi_processing
SAY := @printf '\n== %s\n'

.PHONY: demo release finder reader free soak fuzz faults test test-fast check site notebook clean
.DELETE_ON_ERROR:

$(VENV)/installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --editable '.[cpu,beam,gcp,k8s,report,serve,heif,onnx,tflite,test]'
	@touch $@

check: $(VENV)/installed
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

IN_PARALLEL := -n 2 --dist worksteal

# Of tests/faults, `make test` runs a sample (tests/faults/sampling.py): each test with each of its commands, each bad situation.
# No test may depend on the CPU: TensorFlow turns oneDNN on by itself on some. What computes with it runs in both states: the files for whose
# quick tests `TF_ENABLE_ONEDNN_OPTS=1 ONEDNN_VERBOSE=1 pytest -rA FILE` prints a line of oneDNN, and the folder of those that train.
COMPUTING := $(addprefix tests/trainer/,$(addprefix data/pipeline/test_,input_pipeline.py letterbox.py preprocess.py) \
    $(addprefix inference/,decoding/test_test_time_augmentation.py exports/test_answers.py exports/test_onnx_model.py \
    exports/test_serving_folder.py exports/test_signatures.py measuring/test_calibration.py test_one_graph.py) \
    models/test_finder.py models/test_recogniser.py training workdir test_predict.py test_reader.py)
test: check
	other=$$($(PY) -m tests.other_onednn) && \
	    TF_ENABLE_ONEDNN_OPTS=$$other $(PY) -m pytest $(IN_PARALLEL) -m "not slow" $(COMPUTING)
	$(PY) -m pytest $(IN_PARALLEL) -m "not exhaustive"

# The quick tests alone: a few minutes.
test-fast: $(VENV)/installed
	$(PY) -m pytest $(IN_PARALLEL) -m "not slow" --ignore tests/faults

# Every command in every bad situation of a table, over 1,200 cases: half an hour.
faults: $(VENV)/installed
	$(PY) -m pytest tests/faults

# Damaged files, kills at random moments, full disks, at random for a while; prints its seed. FUZZ_ARGS: see --help.
FUZZ_SECONDS ?= 300
fuzz: $(VENV)/installed
	$(PY) -m tests.fuzz --seconds $(FUZZ_SECONDS) $(FUZZ_ARGS)

# Kills a random task of a local cluster every few seconds, 20 times a mode; takes about 20 minutes on 2 cores.
soak: $(VENV)/installed
	$(PY) -m benchmarks.soak

site: $(VENV)/installed
	$(PY) -m sphinx -q -W --keep-going -b html -c docs/site -d build/doctrees . build/site
	@echo build/site/index.html

notebook: $(VENV)/installed
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) -c "import nbclient, nbformat; book = nbformat.read('docs/notebook.ipynb', 4); \
	    nbclient.NotebookClient(book, record_timing=False).execute(); nbformat.write(book, 'docs/notebook.ipynb')"

# The user's own images (DATA, a folder with labels.csv), or drawn ones.
ifdef DATA
DEMO := $(DEMO)/own
IMAGES := $(DATA)
SPLIT := train:0.8,validation:0.2
else
IMAGES := $(DEMO)/drawn
SPLIT := validation
endif

demo: $(VENV)/installed
	$(SAY) "1/7 synthesise: 20,000 numbers to train on"
	$(PY) -m beam_pipelines.synthesize --source fonts --count 20000 --seed 7 --num-shards 20 \
	    --output $(DEMO)/synthetic $(TWO_WORKERS)
ifndef DATA
	$(PY) -m beam_pipelines.draw --count 1000 --seed 8 --output $(IMAGES)
endif
	$(SAY) "2/7 prepare: labelled images of $(IMAGES)"
	$(PY) -m beam_pipelines.prepare --format csv --input $(IMAGES) --split $(SPLIT) \
	    --output $(DEMO)/prepared
	$(SAY) "3/7 train"
	$(PY) -m trainer.train --experiment demo --data $(DEMO)/synthetic $(if $(DATA),$(DEMO)/prepared) \
	    --validation-data $(DEMO)/prepared --workdir $(DEMO)/run
	$(SAY) "4/7 evaluate: numbers that were not trained on"
	$(PY) -m trainer.evaluate --workdir $(DEMO)/run --data $(DEMO)/prepared --calibrate
	$(SAY) "5/7 export"
	$(PY) -m trainer.export --workdir $(DEMO)/run --output $(DEMO)/model
	$(SAY) "6/7 score: $(IMAGES)"
	$(PY) -m beam_pipelines.score --model $(DEMO)/model --input $(IMAGES) --output $(DEMO)/predictions --overwrite
	$(SAY) "7/7 report"
	$(PY) -m trainer.report --workdir $(DEMO)/run --predictions $(DEMO)/predictions --output $(DEMO)/report.html
	@printf '\nthe accuracy      %s\nthe SavedModel    %s\nthe predictions   %s\nthe report        %s\n' \
	    $(DEMO)/run/evaluation.json $(DEMO)/model $(DEMO)/predictions $(DEMO)/report.html

SHARED ?= ../shared/data
RELEASE := data/released
STEPS ?= 8000
ONE_VIEW := decode.views=[1.0] decode.tilts=[] decode.closer=false
SIX_VIEWS := decode.views=[0.8,0.9,1.0,1.1,1.2] decode.tilts=[] decode.closer=true
RECIPE := --data $(foreach part,photos format1-test format1-train fonts crops,$(RELEASE)/$(part))

release: $(VENV)/installed
	$(SAY) "1/4 data: real photos, numbers cut from photos, drawn numbers, numbers put together from real digits"
	$(PY) -m beam_pipelines.prepare --format csv --input $(SHARED)/photos --output $(RELEASE)/photos
	for part in test train; do \
	    $(PY) -m beam_pipelines.prepare --format digitstruct --input $(SHARED)/format1/$$part --crop context \
	        --context 0.0 0.35 --split train --output $(RELEASE)/format1-$$part || exit; \
	done
	$(PY) -m beam_pipelines.synthesize --source fonts --count 48000 --lengths house --seed 11 --num-shards 16 \
	    --output $(RELEASE)/fonts $(TWO_WORKERS)
	$(PY) -m beam_pipelines.synthesize --source crops --records $(RELEASE)/format1-test --count 10000 \
	    --lengths house --seed 12 --output $(RELEASE)/crops $(TWO_WORKERS)
	$(SAY) "2/4 train"
	$(PY) -m trainer.train --experiment released --workdir runs/released --set train.steps=$(STEPS) $(RECIPE)
	$(SAY) "3/4 train on with tilted numbers"
	$(PY) -m trainer.train --experiment released_stage2 --init-from runs/released --workdir runs/stage2 \
	    --set train.steps=$$(($(STEPS) * 5 / 16)) $(RECIPE)
	$(SAY) "4/4 evaluate, calibrate and export: in one view, and in all"
	$(PY) -m trainer.evaluate --workdir runs/stage2 --data $(RELEASE)/photos --calibrate --set $(ONE_VIEW)
	$(PY) -m trainer.export --workdir runs/stage2 --output runs/stage2/export-fast --half --onnx --set $(ONE_VIEW)
	$(PY) -m trainer.evaluate --workdir runs/stage2 --data $(RELEASE)/photos --calibrate
	$(PY) -m trainer.export --workdir runs/stage2 --output runs/stage2/export --half --onnx

FOUND := data/finder
FINDER_STEPS ?= 12000
FINDER_SCENES ?= 14000
REGIONS ?= 64000
READER_STEPS ?= 6000
THREE_ZOOMS := decode.views=[0.75,1.0,1.5]
SCENES := $(PY) -m beam_pipelines.synthesize --source scenes --lengths house --image-format jpeg

# After `make release`, of whose data the recogniser's is a part. Of the backgrounds, every 14th is kept for validation and calibration.
finder: $(VENV)/installed
	$(SAY) "1/5 data: photos with boxes, numbers cut from photos"
	mkdir -p $(FOUND)/backgrounds $(FOUND)/held
	n=0; for file in $(SHARED)/scenes/backgrounds/*.*; do \
	    n=$$((n + 1)); [ $$((n % 14)) = 0 ] && to=held || to=backgrounds; cp "$$file" $(FOUND)/$$to/ || exit; \
	done
	$(PY) -m beam_pipelines.prepare --format csv --input $(SHARED)/scenes/svhn_originals --crop whole --max-side 384 \
	    --split train --output $(FOUND)/originals
	for part in train validation; do \
	    $(PY) -m benchmarks.photo_boxes $(SHARED)/photos --split $$part > $(FOUND)/$$part.csv || exit; \
	    for split in train $$part; do \
	        $(PY) -m beam_pipelines.prepare --format csv --input $(FOUND)/$$part.csv --images $(SHARED)/photos/images \
	            --crop whole --max-side 384 --split $$split --output $(FOUND)/photos-$$part-as-$$split || exit; \
	    done; \
	done
	for part in test train; do \
	    $(PY) -m beam_pipelines.prepare --format digitstruct --input $(SHARED)/format1/$$part --crop context \
	        --context 0.12 0.3 --split train --output $(FOUND)/format1-$$part || exit; \
	done
	$(SAY) "2/5 scenes: to train on, to choose the checkpoint on, to calibrate on"
	$(SCENES) --count $(FINDER_SCENES) --seed 31 --num-shards 14 --backgrounds $(FOUND)/backgrounds \
	    --photos $(FOUND)/originals $(FOUND)/photos-train-as-train \
	    --records $(FOUND)/format1-test $(FOUND)/format1-train --empty 0.15 --output $(FOUND)/scenes $(TWO_WORKERS)
	$(SCENES) --count 300 --seed 77 --split validation --num-shards 1 --backgrounds $(FOUND)/held --empty 0.3 \
	    --output $(FOUND)/validation
	$(SCENES) --count 600 --seed 91 --split validation --num-shards 1 --backgrounds $(FOUND)/held --empty 0.35 \
	    --photos $(FOUND)/photos-validation-as-train --scene-size 640 --output $(FOUND)/calibration
	$(SAY) "3/5 train the finder"
	$(PY) -m trainer.train --experiment finder --set model.image_height=256 model.image_width=256 \
	    train.steps=$(FINDER_STEPS) --data $(FOUND)/scenes --validation-data $(FOUND)/validation --workdir runs/finder
	$(SAY) "4/5 the recogniser: regions of the scenes, beside the data of make release"
	$(PY) -m beam_pipelines.synthesize --source regions --records $(FOUND)/scenes --record-limit 30000 --empty 0.12 \
	    --count $(REGIONS) --seed 51 --num-shards 16 --output $(FOUND)/regions $(TWO_WORKERS)
	$(PY) -m trainer.train --experiment photo_reader --init-from runs/stage2 --set train.steps=$(READER_STEPS) \
	    --data $(foreach part,photos format1-test format1-train fonts crops,$(RELEASE)/$(part)) $(FOUND)/regions \
	    --validation-data $(RELEASE)/photos --workdir runs/photo_reader
	$(PY) -m trainer.evaluate --workdir runs/photo_reader --data $(RELEASE)/photos --calibrate
	$(PY) -m trainer.export --workdir runs/photo_reader --half --onnx --output runs/photo_reader/export
	$(SAY) "5/5 evaluate, calibrate and export both together"
	$(PY) -m trainer.evaluate --workdir runs/finder --reader runs/photo_reader/export --calibrate --set $(THREE_ZOOMS) \
	    --data $(FOUND)/calibration $(FOUND)/photos-validation-as-validation
	$(PY) -m trainer.export --workdir runs/finder --reader runs/photo_reader/export --half --onnx --set $(THREE_ZOOMS) \
	    --output runs/finder/export

TUNED := data/reader
TUNED_STEPS ?= 20500
OTHER_SHARES := data.shares=[0.20,0.14,0.02,0.07,0.10,0.06,0.18,0.10,0.11,0.02]

# After `make finder`: the recogniser is trained on, in bfloat16 where that is faster, for letters beside numbers, displays, plates, bibs,
# counters, handwriting, stacked numbers, and up to eight digits; then it reads for the finder, too.
reader: $(VENV)/installed
	$(SAY) "1/3 data: numbers with letters beside them, in other styles, of MNIST's digits, and stacked"
	$(PY) -m beam_pipelines.synthesize --source fonts --beside 1 --count 24000 --lengths house --seed 113 --num-shards 16 \
	    --output $(TUNED)/letters $(TWO_WORKERS)
	$(PY) -m beam_pipelines.synthesize --source fonts --style bib counter dots handwritten house plate segment --max-digits 8 \
	    --count 42000 --seed 311 --num-shards 16 --output $(TUNED)/styles $(TWO_WORKERS)
	$(PY) -m beam_pipelines.synthesize --source mnist --mnist $(SHARED)/mnist --count 6000 --seed 312 --output $(TUNED)/mnist \
	    $(TWO_WORKERS)
	$(SCENES) --count 5000 --seed 271 --num-shards 8 --backgrounds $(FOUND)/backgrounds --stacked 0.8 --empty 0 \
	    --photos $(FOUND)/originals $(FOUND)/photos-train-as-train \
	    --records $(FOUND)/format1-test $(FOUND)/format1-train --output $(TUNED)/scenes $(TWO_WORKERS)
	$(PY) -m beam_pipelines.synthesize --source regions --records $(TUNED)/scenes $(FOUND)/scenes --record-limit 30000 \
	    --stacked 0.95 --empty 0.1 --count 24000 --seed 272 --num-shards 16 --output $(TUNED)/regions $(TWO_WORKERS)
	$(SAY) "2/3 train on"
	$(PY) -m trainer.train --experiment photo_reader --init-from runs/photo_reader --workdir runs/reader \
	    --data $(foreach part,photos format1-test format1-train fonts,$(RELEASE)/$(part)) $(TUNED)/letters $(RELEASE)/crops \
	    $(FOUND)/regions $(TUNED)/regions $(TUNED)/styles $(TUNED)/mnist --validation-data $(RELEASE)/photos \
	    --set precision=auto train.steps=$(TUNED_STEPS) optimizer.learning_rate=1e-3 optimizer.warmup_steps=300 $(OTHER_SHARES)
	$(SAY) "3/3 evaluate, calibrate and export: in one view, in all, and with the finder"
	$(PY) -m trainer.evaluate --workdir runs/reader --data $(RELEASE)/photos --calibrate --set $(SIX_VIEWS)
	$(PY) -m trainer.export --workdir runs/reader --output runs/reader/export --half --onnx --set $(SIX_VIEWS)
	$(PY) -m trainer.evaluate --workdir runs/reader --data $(RELEASE)/photos --calibrate --set $(ONE_VIEW)
	$(PY) -m trainer.export --workdir runs/reader --output runs/reader/export-fast --half --onnx --set $(ONE_VIEW)
	$(PY) -m trainer.evaluate --workdir runs/finder --reader runs/reader/export-fast --calibrate --set $(THREE_ZOOMS) \
	    --data $(FOUND)/calibration $(FOUND)/photos-validation-as-validation
	$(PY) -m trainer.export --workdir runs/finder --reader runs/reader/export-fast --half --onnx --set $(THREE_ZOOMS) \
	    --output runs/finder/export

FREE_DATA := data/free
FREE_STEPS ?= 21500
FREE_SHARES := data.shares=[0.28,0.16,0.08,0.30,0.18]

# The recogniser that commercial use may be made of: no photo is used, but those of --data that measure it.
free: $(VENV)/installed
	$(PY) -m beam_pipelines.synthesize --source fonts --count 40000 --lengths house --seed 61 --num-shards 16 \
	    --output $(FREE_DATA)/fonts $(TWO_WORKERS)
	$(PY) -m beam_pipelines.synthesize --source fonts --beside 1 --count 24000 --lengths house --seed 65 --num-shards 16 \
	    --output $(FREE_DATA)/letters $(TWO_WORKERS)
	$(PY) -m beam_pipelines.synthesize --source fonts --style bib counter dots handwritten house plate segment --max-digits 8 \
	    --count 42000 --seed 66 --num-shards 16 --output $(FREE_DATA)/styles $(TWO_WORKERS)
	$(PY) -m beam_pipelines.synthesize --source mnist --mnist $(SHARED)/mnist --count 20000 --lengths house --seed 62 --num-shards 8 \
	    --output $(FREE_DATA)/mnist $(TWO_WORKERS)
	$(SCENES) --count 8000 --seed 63 --num-shards 16 --empty 0.15 --output $(FREE_DATA)/scenes $(TWO_WORKERS)
	$(PY) -m beam_pipelines.synthesize --source regions --records $(FREE_DATA)/scenes --record-limit 30000 --empty 0.12 --stacked 0.35 \
	    --count 46000 --seed 64 --num-shards 16 --output $(FREE_DATA)/regions $(TWO_WORKERS)
	$(PY) -m trainer.train --experiment free --data $(foreach part,fonts letters mnist regions styles,$(FREE_DATA)/$(part)) \
	    --workdir runs/free --set precision=auto train.steps=$(FREE_STEPS) optimizer.learning_rate=1e-3 optimizer.warmup_steps=300 \
	    model.max_length=8 $(FREE_SHARES)
	$(PY) -m beam_pipelines.prepare --format csv --input $(SHARED)/photos --output $(RELEASE)/photos
	$(PY) -m trainer.evaluate --workdir runs/free --data $(RELEASE)/photos --calibrate
	$(PY) -m trainer.export --workdir runs/free --half --onnx --output runs/free/export

clean:
	rm -rf $(VENV) demo
