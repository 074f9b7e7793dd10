"""Conan 2: `conan create cmake/conan -s compiler.cppstd=20` packs the headers; the CMake package is lpw's own, with
lpw::lpw, lpw::compiled, lpw::onnx and, of its component mpi, lpw::mpi. With the option `onnx=True` protozero comes from
Conan; it, oneDNN and MPI are otherwise used where the using project's CMake finds them."""

import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rmdir


class Lpw(ConanFile):
    name = "lpw"
    description = "Neural networks with late-phase weights"
    license = "Apache-2.0"
    topics = ("neural-networks", "ensembles", "header-only", "cuda")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"onnx": [True, False]}  # protozero, with which lpw::onnx exports networks
    default_options = {"onnx": False}
    generators = "CMakeDeps"

    def set_version(self):
        header = load(self, os.path.join(self.recipe_folder, "..", "..", "include", "lpw", "version.hpp"))
        self.version = ".".join(re.findall(r"^#define LPW_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)$", header, re.M))

    def export_sources(self):
        root = os.path.join(self.recipe_folder, "..", "..")
        for pattern in ("CMakeLists.txt", "LICENSE", "CHANGELOG.md", "cmake/*", "include/*", "kernels/*"):
            copy(self, pattern, root, self.export_sources_folder)

    def requirements(self):
        self.requires("eigen/[>=3.4 <6]")
        self.requires("nlohmann_json/[>=3.10 <4]")
        if self.options.onnx:
            self.requires("protozero/[>=1.7 <2]")

    def validate(self):
        check_min_cppstd(self, 20)

    def layout(self):
        cmake_layout(self)

    def package_id(self):
        self.info.clear()

    def generate(self):
        toolchain = CMakeToolchain(self)
        for what in ("TESTS", "EXAMPLES", "BENCHMARKS"):
            toolchain.cache_variables[f"LPW_BUILD_{what}"] = False
        toolchain.generate()

    def build(self):
        CMake(self).configure()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        CMake(self).install()
        rmdir(self, os.path.join(self.package_folder, "share", "pkgconfig"))  # Conan makes its own

    def package_info(self):
        self.cpp_info.set_property("cmake_find_mode", "none")  # in favour of lpw's own package
        self.cpp_info.builddirs = [os.path.join("share", "cmake", "lpw")]
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.set_property("pkg_config_name", "lpw")
        self.cpp_info.cxxflags = ["-fopenmp-simd"]
        if self.settings.os in ("Linux", "FreeBSD"):
            self.cpp_info.system_libs = ["pthread", "dl"]
