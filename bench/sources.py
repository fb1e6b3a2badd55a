"""Where the techniques on trial were documented; what one experiment alone cites stands there."""

from keras_ab.bench.lab.words.declare import Source

TIPS = Source(
    author="an author on Medium, unnamed in the copy at hand",
    title="Taking Keras and TensorFlow to the Next Level",
    year=2022,
)
PRINCIPLES = Source(
    author="a blogger on CSDN, unnamed in the copy at hand",
    title="用 Keras/TensorFlow 2.9 创建深度学习模型的方法总结 (ways to create models)",
    year=2022,
)
STYLES = Source(
    author="J. Gordon",
    title="What are Symbolic and Imperative APIs in TensorFlow 2.0?",
    year=2019,
    url="https://blog.tensorflow.org/2019/01/what-are-symbolic-and-imperative-apis.html",
)
DEEP_DIVE = Source(
    author="F. Chollet, M. Watson",
    title="Deep Learning with Python, third edition, chapter 7: A deep dive on Keras",
    year=2025,
    url="https://deeplearningwithpython.io/chapters/chapter07_deep-dive-keras/",
)
TEN = Source(
    author="a blogger on cnblogs, unnamed in the copy at hand",
    title="Tensorflow2 深度学习十必知 (ten must-knows of deep learning)",
    year=2021,
)
KERAS_TRAINING = Source(
    author="the Keras authors",
    title="Keras API reference: model training APIs",
    year=2026,
    url="https://keras.io/api/models/model_training_apis/",
)
KERAS_OPTIMIZERS = Source(
    author="the Keras authors",
    title="Keras API reference: optimizers",
    year=2026,
    url="https://keras.io/api/optimizers/",
)
KERNELS = Source(
    author="the keras-ab authors",
    title="The kernels: what was aimed at",
    year=2026,
    url="kernels/native/README.md",
)
SHAZEER = Source(
    author="N. Shazeer, M. Stern",
    title="Adafactor: Adaptive Learning Rates with Sublinear Memory Cost",
    year=2018,
    url="https://arxiv.org/abs/1804.04235",
)
ANIL = Source(
    author="R. Anil, V. Gupta, T. Koren, Y. Singer",
    title="Memory-Efficient Adaptive Optimization",
    year=2019,
    url="https://arxiv.org/abs/1901.11150",
)
BROCK = Source(
    author="A. Brock, S. De, S. L. Smith, K. Simonyan",
    title="High-Performance Large-Scale Image Recognition Without Normalization",
    year=2021,
    url="https://arxiv.org/abs/2102.06171",
)
LUO = Source(
    author="C. Luo, J. Zhan, L. Wang, W. Gao",
    title="Extended Batch Normalization",
    year=2020,
    url="https://arxiv.org/abs/2003.05569",
)
ONE_DNN = Source(
    author="J. Xu, P. Venkatesh, H.-J. Tsai",
    title="Maximize TensorFlow Performance on CPU: Considerations and Recommendations for "
    "Inference Workloads",
    year=2021,
    url="https://www.intel.com/content/www/us/en/developer/articles/technical/"
    "maximize-tensorflow-performance-on-cpu-considerations-and-recommendations-for-inference.html",
)
