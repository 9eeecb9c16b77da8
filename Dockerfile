# serve.py in a container, on CPUs: docker compose up --build
# The same steps without one: python3.11 -m venv, the two installs below, python serve.py.
FROM python:3.11-slim
# For a GPU: --build-arg TORCH_INDEX=https://pypi.org/simple
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /app
COPY constraints.txt requirements.txt pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --index-url $TORCH_INDEX torch==2.11.0 torchaudio==2.11.0
COPY models models
RUN pip install --no-cache-dir -c constraints.txt '.[serve]'
COPY serve.py ./
# Nothing is fetched while it runs, and nothing is written but below /tmp.
ENV HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=5)"]
ENTRYPOINT ["python", "serve.py", "--model", "/model", "--host", "0.0.0.0", "--api_keys", "/run/secrets/api_keys"]
